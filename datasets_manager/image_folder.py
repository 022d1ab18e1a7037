"""Anyone's own images: a folder with a table, with a text beside each image, or with images only.

The table's names and its column `file_name` are those of Hugging Face's ImageFolder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets_manager.base import DatasetError, Sample, read_json_lines, read_text, required
from datasets_manager.options import COLUMN_OPTIONS, DatasetOptions
from datasets_manager.registry import register
from datasets_manager.tables import ParquetTable, hint_of, plain

TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_OBTAIN = (
    'write one line an image: {"file_name": ..., "question": ...} (or a metadata.csv or '
    "metadata.parquet), put a text beside each image, or give one --question for all"
)


@register(
    "imagefolder",
    about="your own: --data-root DIR with metadata.jsonl, .csv or .parquet (file_name, question, "
    "optional key and hint), with a .txt beside each image, or with --question for all",
    home="https://huggingface.co/docs/datasets/image_dataset",
    licence="yours",
    takes=("question", *COLUMN_OPTIONS),
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of `root`.

    With `metadata.jsonl`, `.csv` or `.parquet`: columns `file_name` (relative to the folder),
    `question` and, where there are such, `key` (else the row's number) and `hint`, which the
    auxiliary model is asked instead; all others travel with the sample. Without: every image
    below the folder, by name, under its path without suffix, with the question in the `.txt`
    beside it. `options.question` is asked about every image instead.
    """
    tables = [name for name in TABLES if (root / name).exists()]
    if len(tables) > 1:
        raise DatasetError(f"{root} holds {' and '.join(tables)}; leave one of them")
    if tables:
        return _from_table(root, root / tables[0], options)
    return _from_images(root, options)


def _from_table(root: Path, path: Path, options: DatasetOptions) -> Iterator[Sample]:
    image_column = options.image_column or "file_name"
    question_column = options.question_column or "question"
    key_column = options.key_column or "key"
    asked = {question_column: options.question} if options.question is not None else {}
    for index, row in enumerate(_rows(path)):
        place = f"{path}, sample {index}"
        file_name = str(required(row, image_column, place))
        parts = file_name.replace("\\", "/").split("/")  # paths would take a second for 100,000
        if parts[0] == "" or ".." in parts:
            raise DatasetError(f"{place}: {image_column} {file_name!r} leads out of the folder")
        if options.key_column is not None:
            required(row, key_column, place)
        key = row.get(key_column)
        own = (image_column, key_column, *([] if asked else [question_column]))
        yield Sample(
            key=str(index if key is None else key),
            index=index,
            image=root / file_name,
            question=str(required({**row, **asked}, question_column, place)),
            hint=None if options.query_column else hint_of(row, "hint"),
            extra={k: v for k, v in row.items() if k not in own},
        )


def _rows(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.suffix == ".jsonl":
        yield from read_json_lines(path, _OBTAIN)
    elif path.suffix == ".csv":
        yield from _csv_rows(path)
    else:
        table = ParquetTable(path)
        for row in table.read(table.names):
            yield plain(row)


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(read_text(path, _OBTAIN), newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DatasetError(
                    f"{path}, line {reader.line_num}: not as many fields as the header's "
                    f"{len(reader.fieldnames or ())}; put quotes around fields with commas"
                )
            yield row
    except csv.Error as error:
        raise DatasetError(
            f"{path}, after line {reader.line_num}: not valid CSV ({error})"
        ) from error


def _from_images(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    paths = sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not paths or (options.question is None and not _any_text(paths)):
        raise DatasetError(f"{TABLES[0]} not found in {root}; {_OBTAIN}, or pass --data-root")
    for index, path in enumerate(paths):
        question = options.question
        if question is None:
            question = read_text(path.with_suffix(".txt"), f"write {path.name}'s question into it")
        yield Sample(
            key=path.relative_to(root).with_suffix("").as_posix(),
            index=index,
            image=path,
            question=question.strip(),
            extra={},
        )


def _any_text(paths: Sequence[Path]) -> bool:
    return any(path.with_suffix(".txt").exists() for path in paths)
