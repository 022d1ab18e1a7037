"""LLaVA-Bench (In-the-Wild): 60 questions about 24 images, from the hub's repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager.base import Sample, read_json_lines, required
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register


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
    """Samples of `LLaVA_Wild/llava-bench-in-the-wild/questions.jsonl`, keys 0, 1, 2, ..."""
    folder = root / "LLaVA_Wild" / "llava-bench-in-the-wild"
    path = folder / "questions.jsonl"
    rows = read_json_lines(path, "put the hub's liuhaotian/llava-bench-in-the-wild there")
    for index, row in enumerate(rows):
        place = f"{path}, sample {index}"
        yield Sample(
            key=str(index),
            index=index,
            image=folder / "images" / str(required(row, "image", place)),
            question=str(required(row, "text", place)),
            extra={k: v for k, v in row.items() if k != "text"},
        )
