"""POPE: does a model see objects that are not there? Yes-or-no questions about COCO's images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager import prompts
from datasets_manager.base import DatasetError, Sample, read_json_lines, required
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register

PARTS = ("random", "popular", "adversarial")


@register(
    "POPE",
    about="POPE: 9,000 questions whether an object is in one of 500 images; --split "
    + "|".join(PARTS),
    home="https://github.com/AoiDragon/POPE",
    licence="MIT; images (COCO) under their own terms",
    folder="POPE",
    takes=("split",),
    metric="pope",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of `POPE/coco_pope_{random,popular,adversarial}.json`, images in `POPE/val2014/`.

    The files hold JSON lines. `split` is one of the three parts; without, they follow each other.
    Keys are `{part}_{question_id}`, since each part counts its questions from 1.
    """
    if options.split not in (None, *PARTS):
        raise DatasetError(f"POPE: no split {options.split!r}; there are {', '.join(PARTS)}")
    index = 0
    for part in PARTS if options.split is None else (options.split,):
        path = root / "POPE" / f"coco_pope_{part}.json"
        obtain = "get it from output/coco of github.com/AoiDragon/POPE"
        for number, row in enumerate(read_json_lines(path, obtain)):
            place = f"{path}, sample {number}"
            yield Sample(
                key=f"{part}_{required(row, 'question_id', place)}",
                index=index,
                image=root / "POPE" / "val2014" / str(required(row, "image", place)),
                question=str(required(row, "text", place)),
                # the hub's rows have the label as the answer
                extra={"answer": row.get("label")}
                | {k: v for k, v in row.items() if k != "text"}
                | {"category": part, "prompt": prompts.SHORT_ANSWER},
            )
            index += 1
