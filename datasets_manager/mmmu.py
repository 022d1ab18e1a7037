"""MMMU: college-level questions in 30 subjects, with up to seven images each."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from datasets_manager import prompts
from datasets_manager.arrow import ParquetTable
from datasets_manager.base import DatasetError, Note, Sample
from datasets_manager.groups import Groups
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register
from datasets_manager.rows import Row
from datasets_manager.tables import (
    Columns,
    Table,
    check_columns,
    left_out,
    origin_of,
    read_picture,
    rows_of,
)

SUBJECTS = (
    "Accounting", "Agriculture", "Architecture_and_Engineering", "Art", "Art_Theory",
    "Basic_Medical_Science", "Biology", "Chemistry", "Clinical_Medicine", "Computer_Science",
    "Design", "Diagnostics_and_Laboratory_Medicine", "Economics", "Electronics",
    "Energy_and_Power", "Finance", "Geography", "History", "Literature", "Manage", "Marketing",
    "Materials", "Math", "Mechanical_Engineering", "Music", "Pharmacy", "Physics", "Psychology",
    "Public_Health", "Sociology",
)  # fmt: skip
IMAGES = tuple(f"image_{n}" for n in range(1, 8))


def from_tables(
    tables: Sequence[Table], columns: Columns, options: DatasetOptions
) -> Iterator[Sample | Note]:
    """Samples of the subjects' tables, the same on the hub and on disk.

    The question keeps its marks `<image 1>`, `<image 2>`, ... as they are. A question about one
    image is a sample under its id. One about several is a sample an image, `{id}_1`, `{id}_2`,
    ...; with `images="first"` the first alone, under its id. `image_number` in `extra` says which
    image it is, `image_count` how many are asked about together. `options` there is the file's own
    text; the `prompt` has it read and lettered.
    """
    index = 0
    for table in tables:
        held = [name for name in IMAGES if name in table.names]
        present = zip(*(table.present(name) for name in check_columns(table, held)), strict=True)
        check_columns(table, ["id", columns.question, "options"])
        for number, (row, has) in enumerate(zip(rows_of(table, table.plain), present, strict=True)):
            key, question = row.key("id"), row.text(columns.question)
            prompt = prompts.multiple_choice(_options(row))
            extra = row.others(columns.question) | {"prompt": prompt}
            # a question whose images are all missing fails as a sample, and is not left out
            names = [name for name, there in zip(held, has, strict=True) if there] or [IMAGES[0]]
            alone = len(names) == 1 or options.images == "first" or row.fault is not None
            for n, name in enumerate(names[:1] if alone else names, start=1):
                yield Sample(
                    key=key if alone else f"{key}_{n}",
                    index=index,
                    image=partial(read_picture, table, number, name),
                    question=question,
                    extra=extra
                    | {
                        "image_number": int(name.removeprefix("image_")),
                        "image_count": 1 if alone else len(names),
                    },
                    fault=row.fault,
                    origin=origin_of(table, number, name),
                )
                index += 1
    yield from left_out(tables[0], IMAGES)


@register(
    "MMMU",
    about="MMMU: 900 college-level questions in 30 subjects (validation), a sample an image",
    home="https://huggingface.co/datasets/MMMU/MMMU",
    licence="Apache 2.0",
    folder="MMMU/MMMU",
    takes=("split", "images"),
    from_tables=from_tables,
    metric="mmmu",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample | Note]:
    """Samples of `MMMU/MMMU/{subject}/{split}-*.parquet`, the hub repository's own files."""
    split = options.split or "validation"
    tables: list[Table] = []
    groups = Groups()
    for subject in SUBJECTS:
        folder = root / "MMMU" / "MMMU" / subject
        paths = sorted(folder.glob(f"{split}-*.parquet"))
        if not paths:
            raise DatasetError(
                f"no {split}-*.parquet in {folder}; put the hub's MMMU/MMMU there, all 30 "
                "subjects, or pass --data-root"
            )
        tables += (ParquetTable(path, groups) for path in paths)
    yield from from_tables(tables, Columns(), options)


def _options(row: Row) -> list[str]:
    """The row's options; none, and a fault, where they are not as they should be."""
    text = row.text("options")
    try:
        return read_options(text, row.place)
    except DatasetError as error:
        row.blame(str(error).removeprefix(f"{row.place}: "))
        return []


def read_options(text: object, place: str) -> list[str]:
    """The list in `options`, which the files hold as Python's text of it.

    Raises:
        DatasetError: where it is none.
    """
    try:
        options = ast.literal_eval(text) if isinstance(text, str) else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        options = None
    if not isinstance(options, list):
        raise DatasetError(f"{place}: expected options like \"['a', 'b']\", got {text!r:.200}")
    return [str(option) for option in options]
