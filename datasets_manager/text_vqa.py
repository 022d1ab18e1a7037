"""TextVQA: 5,000 validation questions about 3,166 images with text in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager import prompts
from datasets_manager.base import DatasetError, Sample, read_json, required
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register

_OBTAIN = "get it and train_val_images.zip from textvqa.org"


@register(
    "textVQA",
    about="TextVQA: 5,000 questions about what is written in 3,166 images (validation)",
    home="https://textvqa.org",
    licence="annotations CC BY 4.0; images (OpenImages) CC BY 2.0",
    folder="TextVQA",
    metric="vqa",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of `TextVQA/TextVQA_0.5.1_val.json`, images in `train_images/{image_id}.jpg`.

    Keys are the file's `question_id`, or running numbers where it has none.
    """
    folder = root / "TextVQA"
    path = folder / "TextVQA_0.5.1_val.json"
    content = read_json(path, _OBTAIN)
    rows = content.get("data") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise DatasetError(f"{path}: expected an object with a list 'data'; get the file again")
    for index, row in enumerate(rows):
        place = f"{path}, sample {index}"
        yield Sample(
            key=str(row.get("question_id", index)),
            index=index,
            image=folder / "train_images" / f"{required(row, 'image_id', place)}.jpg",
            question=str(required(row, "question", place)),
            extra={k: v for k, v in row.items() if k != "question"}
            | {"prompt": prompts.SHORT_ANSWER},
        )
