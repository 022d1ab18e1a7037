"""GQA: questions about photographs' scene graphs, whose answers are a word or two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from datasets_manager.base import DatasetError, Note, Sample
from datasets_manager.hub import load_copy
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import Listed, register
from datasets_manager.tables import (
    Columns,
    Extra,
    Table,
    check_columns,
    origin_of,
    read_extra,
    read_picture,
    rows_of,
)


def from_tables(
    tables: Sequence[Table], columns: Columns, options: DatasetOptions
) -> Iterator[Sample | Note]:
    """Samples of the hub's two tables: questions, and the pictures that `imageId` names."""
    questions, images = tables
    check_columns(images, [columns.image])
    ids = rows_of(images, check_columns(images, ["id"]))
    where = {row.key("id"): number for number, row in enumerate(ids)}
    wanted = check_columns(questions, [columns.question, *columns.key, "imageId", columns.query])
    for index, row in enumerate(rows_of(questions, wanted)):
        image = row.key("imageId")
        yield Sample(
            key=row.key(*columns.key),
            index=index,
            image=partial(read_picture, images, where[image], columns.image)
            if image in where
            else partial(_missing, f"{row.place}: no picture {image!r} in {images.place}"),
            question=row.text(columns.question),
            hint=row.hint(columns.query) if columns.query else None,
            picture=image,
            origin=origin_of(images, where[image], columns.image) if image in where else None,
            extra=Extra(partial(read_extra, questions, index, columns)),
            fault=row.fault,
        )


@register(
    "GQA",
    about="GQA: 12,578 questions about 398 photographs (testdev, balanced)",
    home="https://cs.stanford.edu/people/dorarad/gqa/",
    licence="CC BY 4.0; images (Visual Genome) under their own terms",
    folder="GQA",
    takes=("split",),
    from_tables=from_tables,
    metric="exact",
)
def load(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `GQA/`, a copy of the hub's repository; its balanced configurations of a split."""
    return load_copy(root / "GQA", "GQA", from_tables, options)


def _missing(what: str) -> bytes:
    raise DatasetError(what)
