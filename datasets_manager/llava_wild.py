"""LLaVA-Bench (In-the-Wild): 60 questions about 24 images, from the hub's repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager.base import Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register
from datasets_manager.rows import check_columns_of, read_json_lines


@register(
    "LLaVA_Wild",
    about="LLaVA-Bench (In-the-Wild): 60 questions about 24 diverse images",
    home="https://huggingface.co/datasets/liuhaotian/llava-bench-in-the-wild",
    licence="research use only; images under their own terms",
    aliases=("llava-bench-in-the-wild",),
    folder="LLaVA_Wild",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of `LLaVA_Wild/llava-bench-in-the-wild/questions.jsonl`, keys 0, 1, 2, ..."""
    folder = root / "LLaVA_Wild" / "llava-bench-in-the-wild"
    path = folder / "questions.jsonl"
    rows = list(read_json_lines(path, "put the hub's liuhaotian/llava-bench-in-the-wild there"))
    check_columns_of(rows, ("image", "text"), str(path))
    for index, row in enumerate(rows):
        yield Sample(
            key=str(index),
            index=index,
            image=row.file(folder / "images", "image"),
            question=row.text("text"),
            extra=row.others("text"),
            fault=row.fault,
        )
