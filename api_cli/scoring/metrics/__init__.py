"""The metrics, a file a rule, and the table of their names.

A dataset names its own (`register(..., metric=...)` in `datasets_manager`); `--metric` another. A
new metric is a function from a row and an answer to a `Verdict`, and a line in `METRICS`.
"""

from __future__ import annotations

from api_cli.scoring.metrics import anls, letter, mme, mmmu, pope, text, vqa
from api_cli.scoring.metrics.verdict import (
    Figures,
    Metric,
    Row,
    Scored,
    UnscorableError,
    Verdict,
    accuracy,
    category,
)

__all__ = ["METRICS", "Figures", "Metric", "Row", "Scored", "UnscorableError", "Verdict"]

# fmt: off
METRICS = {
    "exact": Metric("the same words, case and punctuation aside", text.exact, accuracy, category),
    "contains": Metric("a right answer's words in it, case and punctuation aside",
                       text.contains, accuracy, category),
    "vqa": Metric("VQA accuracy, ten people each left out, mmf's normalisation",
                  vqa.vqa_accuracy, accuracy, category),
    "anls": Metric("ANLS, threshold 0.5", anls.anls, accuracy, category),
    "letter": Metric("multiple choice, an option's letter or words; unparsed is wrong",
                     letter.letter, accuracy, category),
    "mmmu": Metric("MMMU's own rules; unparsed is wrong, not drawn",
                   mmmu.mmmu, accuracy, mmmu.subject),
    "mme": Metric("MME's own rule, the first four characters", mme.mme, mme.figures, category),
    "pope": Metric("POPE as LLaVA scores it, all but a no is a yes",
                   pope.pope, pope.figures, category),
}
# fmt: on
