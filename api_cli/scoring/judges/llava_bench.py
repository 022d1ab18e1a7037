"""LLaVA-Bench by a judge who grades GPT-4's answer and the model's, with the authors' prompt.

The prompt is that of `llava/eval/table/rule.json` (the same text for its three categories) and
`eval_gpt_review_bench.py` (Apache 2.0); the published judge is gpt-4-0314. There a judgement that
cannot be read becomes the grades -1 and -1 and is averaged; here it is a failure. "8, 7" is read
here as well, where the published code reads "8 7" and "8,7" alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from api_cli.asking.exchange import Sampling
from api_cli.runs.columns import unfold
from api_cli.scoring.judges.judge import Judge
from api_cli.scoring.metrics import Figures, Row, Scored, UnscorableError, Verdict
from api_cli.scoring.metrics.verdict import category

_SYSTEM = "You are a helpful and precise assistant for checking the quality of the answer."
_BEST = 10


@cache
def _rule() -> str:
    return Path(__file__).with_name("llava_bench.txt").read_text(encoding="utf-8")


def prompt(row: Row, answer: str) -> str:
    """The picture's description, the question, GPT-4's answer, the model's, and the rule."""
    missing = [name for name in ("caption", "gpt_answer") if not row.get(name)]
    if missing:
        raise UnscorableError(
            f"no {' and no '.join(missing)} in the sample's row; the hub's rows have them, and "
            "those from disk where context.jsonl and answers_gpt4.jsonl are beside questions.jsonl"
        )
    caption = unfold(row["caption"])
    caption = "\n".join(map(str, caption)) if isinstance(caption, list) else str(caption)
    return (
        f"[Context]\n{caption}\n\n"
        f"[Question]\n{row['question']}\n\n"
        f"[Assistant 1]\n{row['gpt_answer']}\n\n[End of Assistant 1]\n\n"
        f"[Assistant 2]\n{answer}\n\n[End of Assistant 2]\n\n"
        f"[System]\n{_rule()}\n\n"
    )


def read(judgement: str) -> Verdict | None:
    """The first line's two numbers from 1 to 10, GPT-4's first; the score is the second / 10."""
    first_line, *_ = judgement.strip().split("\n")
    try:
        grades = [float(word) for word in first_line.replace(",", " ").split()]
    except ValueError:
        return None
    if len(grades) != 2 or not all(1 <= grade <= _BEST for grade in grades):
        return None
    return Verdict(grades[1] / _BEST, grades)


def figures(scored: Sequence[Scored]) -> Figures:
    """The model's mean grade in percent of GPT-4's, then GPT-4's and its own times ten."""
    if not scored:
        return {}
    first = sum(one.verdict.parsed[0] for one in scored)
    second = sum(one.verdict.parsed[1] for one in scored)
    return {
        "relative to GPT-4": 100 * second / first,
        "GPT-4": 10 * first / len(scored),
        "model": 10 * second / len(scored),
    }


LLAVA_BENCH = Judge(
    "LLaVA-Bench's review: graded 1 to 10 beside GPT-4's answer",
    _SYSTEM,
    prompt,
    "",
    Sampling(max_tokens=1024, temperature=0.2),
    (),
    read,
    figures,
    category,
)
