"""LLaVA-Bench (In-the-Wild): 60 questions about 24 images, from the hub's repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_manager.base import Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register
from datasets_manager.rows import check_columns_of, read_json_lines

_OBTAIN = "put the hub's liuhaotian/llava-bench-in-the-wild there"


@register(
    "LLaVA_Wild",
    about="LLaVA-Bench (In-the-Wild): 60 questions about 24 diverse images",
    home="https://huggingface.co/datasets/liuhaotian/llava-bench-in-the-wild",
    licence="research use only; images under their own terms",
    aliases=("llava-bench-in-the-wild",),
    folder="LLaVA_Wild",
    metric="judge:llava",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of `LLaVA_Wild/llava-bench-in-the-wild/questions.jsonl`, keys 0, 1, 2, ...

    What the set's judge compares with, `gpt_answer` and `caption`, comes from `answers_gpt4.jsonl`
    and `context.jsonl` beside it, where these are there.
    """
    folder = root / "LLaVA_Wild" / "llava-bench-in-the-wild"
    path = folder / "questions.jsonl"
    rows = list(read_json_lines(path, _OBTAIN))
    check_columns_of(rows, ("image", "text"), str(path))
    answers = _column(folder / "answers_gpt4.jsonl", "question_id", "text")
    captions = _column(folder / "context.jsonl", "image", "caption")
    for index, row in enumerate(rows):
        beside = {
            "image_id": row.get("image"),
            "gpt_answer": answers.get(str(row.get("question_id"))),
            "caption": captions.get(str(row.get("image"))),
        }
        yield Sample(
            key=str(index),
            index=index,
            image=row.file(folder / "images", "image"),
            question=row.text("text"),
            extra=row.others("text") | {k: v for k, v in beside.items() if v is not None},
            fault=row.fault,
        )


def _column(path: Path, key: str, value: str) -> dict[str, Any]:
    """Values by keys of a file that may be missing."""
    if not path.exists():
        return {}
    return {str(row.get(key)): row.get(value) for row in read_json_lines(path, _OBTAIN)}
