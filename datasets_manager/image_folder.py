"""Anyone's own images: a folder with a table, with a text beside each image, or with images only.

The table's names and its column `file_name` are those of Hugging Face's ImageFolder.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from os.path import splitext
from pathlib import Path

from datasets_manager.arrow import ParquetTable
from datasets_manager.base import DatasetError, Note, Sample, read_file, read_text
from datasets_manager.listing import find_pictures, printable
from datasets_manager.options import COLUMN_OPTIONS, DatasetOptions
from datasets_manager.registry import Listed, register
from datasets_manager.rows import Row, check_columns_of, read_json_lines, whole
from datasets_manager.tables import rows_of

TABLES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
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
def load(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `root`.

    With `metadata.jsonl`, `.csv` or `.parquet`: columns `file_name` (relative to the folder),
    `question` and, where there are such, `key` (else the row's number) and `hint`, which the
    auxiliary model is asked instead; all others travel with the sample. Without: every image
    below the folder, in natural order, under its path without suffix (with, where another image
    has the same), with the question in the `.txt` beside it. `options.question` is asked about
    every image instead.
    """
    tables = [name for name in TABLES if (root / name).exists()]
    if len(tables) > 1:
        raise DatasetError(f"{root} holds {' and '.join(tables)}; leave one of them")
    if tables:
        return _from_table(root, root / tables[0], options)
    return _from_images(root, options)


def _from_table(root: Path, path: Path, options: DatasetOptions) -> Iterator[Sample | Note]:
    image_column = options.image_column or "file_name"
    question_column = options.question_column or "question"
    key_column = options.key_column or "key"
    asked = options.question
    own = (image_column, key_column, *([question_column] if asked is None else []))
    rows, left_out = _rows(path)
    needed = [image_column, question_column if asked is None else "", options.key_column or ""]
    check_columns_of(rows, needed, str(path))
    for index, row in enumerate(rows):
        image = row.file(root, image_column)
        hint = None if options.query_column else row.hint("hint")
        question = asked
        if question is None:  # what is asked may be the hint alone
            question = row.text(question_column) if hint is None else row.hint(question_column)
        yield Sample(
            key=row.key(key_column) if options.key_column else row.key_or(index, key_column),
            index=index,
            image=image,
            question=question or "",
            hint=hint,
            extra=row.others(*own),
            fault=row.fault,
        )
    if left_out:
        yield Note(f"{path}: left out: columns of pictures or other bytes ({', '.join(left_out)})")


def _rows(path: Path) -> tuple[Sequence[Row], Sequence[str]]:
    """A table's rows, and the columns left out of them."""
    if path.suffix == ".jsonl":
        return list(read_json_lines(path, _OBTAIN)), ()
    if path.suffix == ".csv":
        return whole(list(_csv_rows(path))), ()
    table = ParquetTable(path)
    return rows_of(table, table.plain), [name for name in table.names if name not in table.plain]


def _csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV file in UTF-8; one of another length, or no text, is at fault."""
    text = read_file(path, _OBTAIN).decode("utf-8-sig", "surrogateescape")
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        names = reader.fieldnames or ()
    except csv.Error as error:
        raise DatasetError(f"{path}, line 1: not valid CSV ({error})") from error
    while True:
        start = reader.line_num + 1
        fields: dict[str, str] = {}
        fault = None
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"not valid CSV ({error}); mend or remove it"
        lines = (
            f"line {start}" if reader.line_num <= start else f"lines {start} to {reader.line_num}"
        )
        if None in fields or None in fields.values():
            fault = (
                f"not as many fields as the header's {len(names)}; put quotes around fields with "
                "commas"
            )
            fields = {}
        elif not all(map(_is_unicode, fields.values())):
            fault, fields = "not text in UTF-8; save the file in UTF-8", {}
        yield Row(fields, f"{path}, {lines}", fault)


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def _from_images(root: Path, options: DatasetOptions) -> Iterator[Sample | Note]:
    if not root.is_dir():
        raise DatasetError(f"{root} is no folder; pass --data-root")
    found = find_pictures(root)
    stems = [splitext(name)[0] for name in found.pictures]  # noqa: PTH122, quicker
    beside = {f"{stem}.txt" for stem in stems} & found.texts
    for text in sorted(found.texts if options.question is not None else found.texts - beside):
        found.leave_out("text|texts", text)
    if options.question is None and not beside:
        counted = f" (there are {len(stems)} images)" if stems else ""
        raise DatasetError(
            f"{TABLES[0]} not found in {root}{counted}; {_OBTAIN}, or pass --data-root"
            + "".join(f". {note}" for note in found.notes())
        )
    if not stems:
        there = "; ".join(found.notes()) or "it is empty"
        raise DatasetError(f"{root} holds no image that opens here: {there}; pass --data-root")
    keys = _keys(found.pictures, stems)
    for index, (name, stem, key) in enumerate(zip(found.pictures, stems, keys, strict=True)):
        question, fault = options.question, None
        if question is None:
            try:
                question = read_text(root / f"{stem}.txt", f"write {name}'s question into it")
            except DatasetError as error:
                question, fault = "", str(error)
        yield Sample(
            key=key, index=index, image=root / name, question=question.strip(), fault=fault
        )
    yield from map(Note, found.notes())


def _keys(names: Sequence[str], stems: Sequence[str]) -> Iterator[str]:
    """Pictures' paths without suffix; with it, where that alone tells them apart."""
    taken = Counter(stems)
    taken.update(set(names) & set(stems))
    for name, stem in zip(names, stems, strict=True):
        yield printable(stem if taken[stem] == 1 else name)
