"""MM-Vet by a judge, with the few-shot prompt of the authors' `mm-vet_evaluator.py` (Apache 2.0).

The paper's judge is gpt-4-0613 and its figures are means of five runs; here is one run of whichever
judge is named. A judgement that is no number is asked for again, five times at rising temperature,
as published; after that the published evaluator enters 0, and this program a failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from api_cli.asking.exchange import Sampling
from api_cli.runs.columns import unfold
from api_cli.scoring.judges.judge import Judge
from api_cli.scoring.metrics import Figures, Row, Scored, UnscorableError, Verdict
from api_cli.scoring.metrics.verdict import accuracy


@cache
def _examples() -> str:
    return Path(__file__).with_name("mm_vet.txt").read_text(encoding="utf-8")


def prompt(row: Row, answer: str) -> str:
    """The examples, an empty line, and a last row whose last column is left open."""
    if row.get("answer") is None:
        raise UnscorableError("no 'answer' in the sample's row for the judge to compare with")
    right = str(row["answer"]).replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    return _examples() + "\n" + " | ".join([str(row["question"]), right, answer, ""])


def read(judgement: str) -> Verdict | None:
    """The first word as a number from 0 to 1."""
    try:
        score = float(judgement.strip().split(" ")[0])
    except ValueError:
        return None
    return Verdict(score, score) if 0 <= score <= 1 else None


def groups(row: Row) -> Iterable[str]:
    """Each capability that the question needs (a list, or a text with commas), and all together."""
    capability = unfold(row.get("capability")) or ()
    names = capability.split(",") if isinstance(capability, str) else capability
    names = [str(name).strip() for name in names]
    return (*names, *(["+".join(sorted(names))] if len(names) > 1 else []))


def figures(scored: Sequence[Scored]) -> Figures:
    """The mean, from 0 to 100."""
    return {"total": accuracy(scored)["accuracy"]} if scored else {}


MM_VET = Judge(
    "MM-Vet's evaluator: few-shot, graded 0 to 1, one run",
    "",
    prompt,
    "\nPredict the correctness of the answer (digit): ",
    Sampling(max_tokens=3, temperature=0),
    (0, 0.5, 1, 1.5, 2),
    read,
    figures,
    groups,
)
