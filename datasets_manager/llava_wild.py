"""LLaVA-Bench (In-the-Wild): 60 questions about 24 images, from the hub's repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets_manager.base import Sample, read_json_lines, required
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register

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

    Pictures' descriptions and GPT-4's answers, which a judge needs, are of `context.jsonl` and
    `answers_gpt4.jsonl` beside it, where these are there; samples have them as on the hub, as
    `caption` and `gpt_answer`.
    """
    folder = root / "LLaVA_Wild" / "llava-bench-in-the-wild"
    path = folder / "questions.jsonl"
    rows = read_json_lines(path, _OBTAIN)
    captions = _column(folder / "context.jsonl", "image", "caption")
    answers = _column(folder / "answers_gpt4.jsonl", "question_id", "text")
    for index, row in enumerate(rows):
        place = f"{path}, sample {index}"
        caption, answer = captions.get(row.get("image")), answers.get(row.get("question_id"))
        yield Sample(
            key=str(index),
            index=index,
            image=folder / "images" / str(required(row, "image", place)),
            question=str(required(row, "text", place)),
            extra={k: v for k, v in row.items() if k != "text"}
            | ({} if caption is None else {"caption": caption})
            | ({} if answer is None else {"gpt_answer": answer}),
        )


def _column(path: Path, key: str, column: str) -> dict[Any, Any]:
    """A column by another one; nothing where there is no file."""
    if not path.exists():
        return {}
    return {row.get(key): row.get(column) for row in read_json_lines(path, _OBTAIN)}
