"""VizWiz: questions that blind people asked about photographs they took; some have no answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager import prompts
from datasets_manager.base import DatasetError, Sample, read_json, required
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register


@register(
    "VisWiz",
    about="VizWiz-VQA: 4,319 photographs and questions by blind people (validation)",
    home="https://vizwiz.org/tasks-and-datasets/vqa/",
    licence="CC BY 4.0",
    aliases=("vizwiz", "vizwiz-vqa"),
    folder="VisWiz",
    takes=("split",),
    metric="vqa",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of `VisWiz/val.json`, images in `VisWiz/val/`; or of another split's, named alike.

    Keys are the images' names without suffix: there is one question an image.
    """
    split = options.split or "val"
    path = root / "VisWiz" / f"{split}.json"
    rows = read_json(path, f"get Annotations.zip and {split}.zip from vizwiz.org")
    if not isinstance(rows, list):
        raise DatasetError(f"{path}: expected a list of samples, got a {type(rows).__name__}")
    for index, row in enumerate(rows):
        place = f"{path}, sample {index}"
        image = root / "VisWiz" / split / str(required(row, "image", place))
        yield Sample(
            key=image.stem,
            index=index,
            image=image,
            question=str(required(row, "question", place)),
            # the hub's rows have the names of the first two
            extra={"question_id": image.name, "category": str(row.get("answer_type", ""))}
            | {k: v for k, v in row.items() if k != "question"}
            | {"prompt": prompts.SHORT_OR_UNANSWERABLE},
        )
