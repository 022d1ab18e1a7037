"""From rows of tables to samples, whose pictures and other columns are read when needed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from datasets_manager.base import DatasetError, Note, Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.rows import Row, Unreadable

_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
_QUESTIONS = ("question", "query", "prompt", "instruction", "text", "conversations", "messages")


class Columns(NamedTuple):
    """Which columns of a table make a sample.

    Attributes:
        image: holds the picture.
        question: holds the question.
        key: make the key, joined by `_`; none for the sample's number.
        part: names the part of the set that a row belongs to; empty where there are none.
        prompt: what the set's usual evaluation appends to a question, or what makes it of a row's
            other columns; not a column.
        query: holds what the auxiliary model is asked instead; empty for none.
        asked: the question of every row, in place of a column.
        left_out: are no part of a sample: what is too long to travel along.
        picture: names the picture, the same in rows about the same one; empty for none, and of
            no account where a table lacks it.
    """

    image: str = "image"
    question: str = "question"
    key: tuple[str, ...] = ()
    part: str = ""
    prompt: str | Callable[[Mapping[str, Any]], str] = ""
    query: str = ""
    asked: str | None = None
    left_out: tuple[str, ...] = ()
    picture: str = ""


class Table(Protocol):
    """Rows under named columns, some of which hold pictures.

    Attributes:
        place: what it was read from, for messages.
        names: of all columns.
        pictures: names of those that hold pictures.
        plain: names of those that hold no bytes, not even in lists: neither pictures nor sound.
        origin: changes whenever its content does; None where that cannot be told cheaply.
    """

    place: str
    names: Sequence[str]
    pictures: Sequence[str]
    plain: Sequence[str]
    origin: str | None

    def read(self, names: Sequence[str], rows: range | None = None) -> list[dict[str, Any]]:
        """These columns of all rows, or of a stretch of them."""

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row."""

    def group(self, index: int) -> str | None:
        """What a row is read with (`Sample.group`)."""

    def present(self, name: str) -> list[bool]:
        """Which rows have a value in a column, without reading the values."""


def one_sample_a_row(
    tables: Sequence[Table],
    columns: Columns,
    part: str | None = None,
    rows: range | None = None,
    first: int = 0,
) -> Iterator[Sample | Note]:
    """Samples of tables, one after the other; of one part of the set, or of all.

    Pictures, and columns that name neither key nor question, are read when they are asked for.
    Other columns of pictures, sound or bytes are never read.

    Args:
        tables: of the set.
        columns: that make a sample.
        part: of the set; None for all.
        rows: stretch of each table's rows; None for all.
        first: the first sample's number, by which it is called where no column makes a key.
    """
    index = first
    for table in tables:
        check_columns(table, [columns.image])
        question = "" if columns.asked is not None else columns.question
        picture = columns.picture if columns.picture in table.names else ""
        wanted = [question, *columns.key, columns.part, columns.query, picture]
        listed = rows_of(table, check_columns(table, wanted), rows)
        for number, row in enumerate(listed, 0 if rows is None else rows.start):
            if part is not None and row[columns.part] != part:
                continue
            hint = row.hint(columns.query) if columns.query else None
            asked = columns.asked
            if asked is None:  # what is asked may be the hint alone
                asked = row.text(question) if hint is None else row.hint(question)
            said = row.get(question)
            talk = {question: said} if isinstance(said, list | dict) else {}
            yield Sample(
                key=_without_suffix(row.key(*columns.key)) if columns.key else str(index),
                index=index,
                image=partial(read_picture, table, number, columns.image),
                question=asked or "",
                hint=hint,
                picture=None if not picture or row[picture] is None else str(row[picture]),
                origin=origin_of(table, number, columns.image),
                group=table.group(number),
                extra=Extra(partial(read_extra, table, number, columns, talk)),
                fault=row.fault,
            )
            index += 1
    yield from left_out(tables[0], (columns.image,))


def choose_columns(table: Table, options: DatasetOptions) -> Columns:
    """The columns that make a sample of anyone's table: those named, else the likely ones.

    Raises:
        DatasetError: where a column is missing, holds no pictures, or cannot be guessed.
    """
    key = options.key_column or ("key" if "key" in table.names else None)
    columns = Columns(
        image=options.image_column or _guess_image(table),
        question=options.question_column or _guess_question(table, options),
        key=() if key is None else (key,),
        query=options.query_column or "",
        asked=options.question,
    )
    check_columns(table, [columns.image, columns.question, *columns.key, columns.query])
    if columns.image not in table.pictures:
        raise DatasetError(
            f"{table.place}: column {columns.image!r} does not hold pictures; those that do: "
            f"{', '.join(table.pictures) or 'none'}"
        )
    return columns


def _guess_image(table: Table) -> str:
    if len(table.pictures) != 1:
        raise DatasetError(
            f"{table.place}: columns of pictures: {', '.join(table.pictures) or 'none'}; say which "
            f"with --image-column (all columns: {', '.join(table.names)})"
        )
    return table.pictures[0]


def _guess_question(table: Table, options: DatasetOptions) -> str:
    if options.question is not None:  # no column's matter
        return ""
    for name in _QUESTIONS:
        if name in table.names:
            return name
    raise DatasetError(
        f"{table.place}: which column is the question? Say with --question-column, or give one "
        f"--question for all (all columns: {', '.join(table.names)})"
    )


def rows_of(table: Table, names: Sequence[str], rows: range | None = None) -> list[Row]:
    """Columns of a table's rows, all or a stretch; what cannot be read is its row's fault."""
    start = 0 if rows is None else rows.start
    read = table.read(names, rows)
    return [Row(plain(row), f"{table.place}, row {n}") for n, row in enumerate(read, start)]


def left_out(table: Table, used: Sequence[str]) -> Iterator[Note]:
    """What is to be said of the columns that are never read."""
    others = [name for name in table.names if name not in (*table.plain, *used)]
    if others:
        names = ", ".join(others)
        yield Note(f"{table.place}: left out: columns of pictures or other bytes ({names})")


def check_columns(table: Table, names: Sequence[str]) -> list[str]:
    """The names that are not empty, each once. Raises DatasetError for one the table lacks."""
    wanted = list(dict.fromkeys(filter(None, names)))
    for name in wanted:
        if name not in table.names:
            raise DatasetError(
                f"{table.place}: no column {name!r} (there are: {', '.join(table.names)})"
            )
    return wanted


def origin_of(table: Table, index: int, name: str) -> str | None:
    """What identifies the picture in a row, without reading it (`Sample.origin`)."""
    return None if table.origin is None else f"{table.origin} {index} {name}"


def read_picture(table: Table, index: int, name: str) -> bytes:
    """The encoded picture in a row: a struct, bytes, or base64 as text.

    Raises:
        DatasetError: where there is none.
        OSError: where the picture is in a file, and that cannot be read.
    """
    value = table.row(index, [name])[name]
    if isinstance(value, dict):
        if value["bytes"] is None and value.get("path"):
            return Path(value["path"]).read_bytes()
        value = value["bytes"]
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except ValueError as error:
            place = f"{table.place}, row {index}"
            raise DatasetError(f"{place}: {name!r} is no base64: {error}") from error
    if not isinstance(value, bytes):
        raise DatasetError(f"{table.place}, row {index}: no picture in column {name!r}")
    return value


class Extra(Mapping[str, Any]):
    """What else a row knows of its sample, read when it is first asked for.

    Args:
        read: gives it, of JSON's own types.
    """

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read

    @cached_property
    def _fields(self) -> dict[str, Any]:
        return self._read()

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def read_extra(
    table: Table, index: int, columns: Columns, talk: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """What a row says beside question and picture, and the prompt that goes with it.

    Args:
        table: of the row.
        index: of the row.
        columns: which of them are not in question.
        talk: what to add: a conversation that the question was taken from.
    """
    asked = columns.question if columns.asked is None else ""
    own = (asked, columns.image, *columns.left_out)
    names = [name for name in table.plain if name not in own]
    row = Row(plain(table.row(index, names)) if names else {}, f"{table.place}, row {index}")
    fields = row.others()
    if row.fault is not None:
        raise DatasetError(row.fault)
    prompt = columns.prompt if isinstance(columns.prompt, str) else columns.prompt(fields)
    return {**fields, **talk} | ({"prompt": prompt} if prompt else {})


def plain(value: Any) -> Any:
    """A value of JSON's own types: dates and the like become text; bytes stay, and are refused."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, str | int | float | bytes | Unreadable):
        return value
    return str(value)


def _without_suffix(key: str) -> str:
    """A key without a picture's suffix: VizWiz's ids are file names."""
    name = Path(key)
    return key[: -len(name.suffix)] if name.suffix.lower() in _PICTURE_SUFFIXES else key
