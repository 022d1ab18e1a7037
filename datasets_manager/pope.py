"""POPE: does a model see objects that are not there? Yes-or-no questions about COCO's images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager import prompts
from datasets_manager.base import DatasetError, Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register
from datasets_manager.rows import check_columns_of, read_json_lines

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
        rows = list(read_json_lines(path, obtain))
        check_columns_of(rows, ("question_id", "image", "text"), str(path))
        for row in rows:
            key = row.key("question_id")
            image = row.file(root / "POPE" / "val2014", "image")
            yield Sample(
                key=key and f"{part}_{key}",
                index=index,
                image=image,
                question=row.text("text"),
                extra=row.others("text")
                # as the hub's rows have it
                | {"category": part, "answer": row.get("label"), "image_source": image.stem}
                | {"prompt": prompts.SHORT_ANSWER},
                fault=row.fault,
            )
            index += 1
