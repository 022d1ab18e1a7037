"""GQA: questions about photographs' scene graphs, whose answers are a word or two."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from datasets_manager.base import Sample, required
from datasets_manager.hub import load_copy
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register
from datasets_manager.tables import (
    Columns,
    Extra,
    Table,
    check_columns,
    hint_of,
    read_extra,
    read_picture,
)


def from_tables(
    tables: Sequence[Table], columns: Columns, options: DatasetOptions
) -> Iterator[Sample]:
    """Samples of the hub's two tables: questions, and the pictures that `imageId` names."""
    questions, images = tables
    check_columns(images, [columns.image])
    ids = images.read(check_columns(images, ["id"]))
    where = {str(row["id"]): number for number, row in enumerate(ids)}
    wanted = [columns.question, *columns.key, "imageId", columns.query]
    for index, row in enumerate(questions.read(check_columns(questions, wanted))):
        place = f"{questions.place}, row {index}"
        image = str(required(row, "imageId", place))
        yield Sample(
            key="_".join(str(required(row, name, place)) for name in columns.key),
            index=index,
            image=partial(read_picture, images, where[image], columns.image)
            if image in where
            else partial(_missing, f"{place}: no picture {image!r} in {images.place}"),
            question=str(row[columns.question] or ""),
            hint=hint_of(row, columns.query) if columns.query else None,
            extra=Extra(partial(read_extra, questions, index, columns)),
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
def load(root: Path, options: DatasetOptions) -> Iterable[Sample]:
    """Samples of `GQA/`, a copy of the hub's repository; its balanced configurations of a split."""
    return load_copy(root / "GQA", "GQA", from_tables, options)


def _missing(what: str) -> bytes:
    raise OSError(what)
