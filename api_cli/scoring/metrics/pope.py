"""POPE: is the object in the picture? Yes is the positive answer.

The variant of LLaVA's `llava/eval/eval_pope.py`, which takes everything but a "no" for a yes. In
lmms-eval the answer must be the one word, and its `yes_ratio` counts the truth.
"""

from __future__ import annotations

from collections.abc import Sequence

from api_cli.scoring.metrics.verdict import Figures, Row, Scored, UnscorableError, Verdict


def pope(row: Row, answer: str) -> Verdict:
    """1 where the answer says what is so; without yes or no in it, it counts as yes."""
    right = _right(row)
    words = answer.split(".")[0].replace(",", "").split(" ")
    parsed = "no" if {"No", "not", "no"} & set(words) else "yes"
    said = parsed == "no" or "yes" in answer.lower()
    return Verdict(float(parsed == right), parsed, not said)


def figures(scored: Sequence[Scored]) -> Figures:
    """Accuracy, precision, recall, F1 and the share of answers that are yes, all in percent.

    A ratio of none to none is left out.
    """
    if not scored:
        return {}
    yes = [one.verdict.parsed == "yes" for one in scored]
    true = [_right(one.row) == "yes" for one in scored]
    both = sum(a and b for a, b in zip(yes, true, strict=True))
    right = sum(one.verdict.score for one in scored)
    ratios = {
        "accuracy": (right, len(scored)),
        "precision": (both, sum(yes)),
        "recall": (both, sum(true)),
        "F1": (2 * both, sum(yes) + sum(true)),
        "yes ratio": (sum(yes), len(scored)),
    }
    return {name: 100 * part / whole for name, (part, whole) in ratios.items() if whole}


def _right(row: Row) -> str:
    """Whether the object is there: yes or no, in `label` on disk, in `answer` on the hub."""
    right = str(row.get("label") or row.get("answer") or "").strip().lower()
    if right not in ("yes", "no"):
        raise UnscorableError("POPE's right answer, in 'label' or 'answer', is yes or no")
    return right
