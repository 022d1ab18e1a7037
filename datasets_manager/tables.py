"""Tables of samples: parquet files and the hub's datasets, whose pictures are read when needed."""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from datasets_manager.base import DatasetError, Note, Sample, digest_origin, file_stamp
from datasets_manager.groups import Groups
from datasets_manager.rows import Row, Unreadable

if TYPE_CHECKING:
    import datasets

_COMMIT = re.compile("@[0-9a-f]{40}/")  # in the URL of a file on the hub
_PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


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

    def read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of all rows."""

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row."""

    def present(self, name: str) -> list[bool]:
        """Which rows have a value in a column, without reading the values."""


def one_sample_a_row(
    tables: Sequence[Table], columns: Columns, part: str | None = None
) -> Iterator[Sample | Note]:
    """Samples of tables, one after the other; of one part of the set, or of all.

    Pictures, and columns that name neither key nor question, are read when they are asked for.
    Other columns of pictures, sound or bytes are never read.
    """
    index = 0
    for table in tables:
        check_columns(table, [columns.image])
        question = "" if columns.asked is not None else columns.question
        picture = columns.picture if columns.picture in table.names else ""
        wanted = [question, *columns.key, columns.part, columns.query, picture]
        for number, row in enumerate(rows_of(table, check_columns(table, wanted))):
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
                extra=Extra(partial(read_extra, table, number, columns, talk)),
                fault=row.fault,
            )
            index += 1
    yield from left_out(tables[0], (columns.image,))


def rows_of(table: Table, names: Sequence[str]) -> list[Row]:
    """Columns of all rows of a table; what cannot be read is its row's fault."""
    rows = table.read(names)
    return [Row(plain(row), f"{table.place}, row {n}") for n, row in enumerate(rows)]


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


def _has_bytes(kind: Any) -> bool:
    """Whether a type of Arrow's holds bytes, as pictures, sound and films do, be it in lists."""
    import pyarrow.types as types

    kind = getattr(kind, "storage_type", kind)  # of an extension
    if types.is_dictionary(kind):
        return _has_bytes(kind.value_type)
    if types.is_nested(kind):
        return any(_has_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _other_media(schema: Any) -> set[str]:
    """Columns that `datasets` has noted in a parquet file to be sound or the like."""
    try:
        noted = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name for name, kind in noted.items() if kind.get("_type", "Image") != "Image"}
    except (KeyError, TypeError, ValueError, AttributeError):
        return set()


def _to_rows(table: Any) -> list[dict[str, Any]]:
    """An Arrow table's rows; where a value is not what its type says, `Unreadable` for it."""
    try:
        rows: list[dict[str, Any]] = table.to_pylist()
    except Exception:  # texts that are no UTF-8, dates out of range: whichever row has them
        columns = {name: [*map(_value, table.column(name))] for name in table.column_names}
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return rows


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except Exception as error:  # whatever the conversion raises
        return Unreadable(f"cannot be read: {type(error).__name__}: {error}")


class ParquetTable:
    """A parquet file as the hub stores them: a picture is a struct of its bytes and a name.

    Rows are read by the group, as parquet compresses them; the last groups are kept for their other
    rows.

    Args:
        path: the file.
        groups: keeps groups, of this file or of all that belong together.

    Raises:
        DatasetError: where it is missing or no parquet file.
    """

    def __init__(self, path: Path, groups: Groups | None = None) -> None:
        import pyarrow
        import pyarrow.parquet

        self.place = str(path)
        self._path = path
        self._groups = Groups() if groups is None else groups
        self.origin = digest_origin(file_stamp(path))
        self._metadata: Any = None
        try:
            with self._open() as file:
                self._metadata, schema = file.metadata, file.schema_arrow
        except (OSError, pyarrow.ArrowException) as error:
            raise DatasetError(f"{path} cannot be read as parquet: {error}") from error
        counts = (
            self._metadata.row_group(n).num_rows for n in range(self._metadata.num_row_groups)
        )
        self._starts = [0, *accumulate(counts)]  # of the groups, and the end of the last
        self.names: Sequence[str] = schema.names
        self.plain: Sequence[str] = [field.name for field in schema if not _has_bytes(field.type)]
        others = _other_media(schema)
        self.pictures: Sequence[str] = [
            field.name
            for field in schema
            if pyarrow.types.is_struct(field.type)
            and field.type.get_field_index("bytes") >= 0
            and field.name not in others
        ]

    def read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of all rows; `Unreadable` for a value that cannot be had."""
        with self._open() as file:
            return _to_rows(file.read(columns=list(names)))

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row; those of its group that are not kept are read."""
        group = bisect_right(self._starts, index) - 1
        columns = self._groups.get(
            self.place, group, names, lambda missing: self._read_group(group, missing)
        )
        at = index - self._starts[group]
        return {name: _value(column[at]) for name, column in columns.items()}

    def _open(self) -> Any:
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(self._path, metadata=self._metadata)

    def _read_group(self, group: int, names: Sequence[str]) -> Any:
        with self._open() as file:
            return file.read_row_group(group, columns=list(names), use_threads=False)

    def present(self, name: str) -> list[bool]:
        """Which rows have a picture, by the pictures' names."""
        with self._open() as file:
            table = file.read(columns=[f"{name}.path"])
        valid: list[bool] = table.column(name).is_valid().to_pylist()
        return valid


class StreamedTable(ParquetTable):
    """A parquet file somewhere else, of which only what is needed is fetched.

    Args:
        url: of the file, as fsspec takes it (`hf://datasets/...`), or a path.
        groups: keeps groups of all files that belong together.
    """

    def __init__(self, url: str, groups: Groups) -> None:
        self._url = url
        super().__init__(Path(url), groups)
        self.place = url
        if _COMMIT.search(url) is not None:
            self.origin = digest_origin(url)

    def _open(self) -> Any:
        import fsspec
        import pyarrow.parquet

        file = fsspec.open(self._url, "rb").open()
        return pyarrow.parquet.ParquetFile(file, metadata=self._metadata, pre_buffer=True)


class HubTable:
    """A dataset of Hugging Face's `datasets`, its pictures left encoded.

    Args:
        dataset: one split.
        place: where it comes from, for messages.
    """

    def __init__(self, dataset: datasets.Dataset, place: str) -> None:
        from datasets import Image

        self.place = place
        self.origin: str | None = dataset._fingerprint  # of the cast one it would be another's
        self.names: Sequence[str] = dataset.column_names
        self.pictures: Sequence[str] = [
            name for name, kind in dataset.features.items() if isinstance(kind, Image)
        ]
        self.plain: Sequence[str] = [
            field.name for field in dataset.features.arrow_schema if not _has_bytes(field.type)
        ]
        for name in self.pictures:  # so that a broken picture is one sample's matter
            dataset = dataset.cast_column(name, Image(decode=False))
        self._dataset = dataset

    def read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of all rows; `Unreadable` for a value that cannot be had."""
        return _to_rows(self._dataset.select_columns(list(names)).with_format("arrow")[:])

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row."""
        selected = self._dataset.select_columns(list(names))
        try:
            return dict(selected[index])
        except Exception:  # a value that is not what its type says
            [row] = _to_rows(selected.with_format("arrow")[index])
            return row

    def present(self, name: str) -> list[bool]:
        """Which rows have a value in a column, without reading the values."""
        table = self._dataset.select_columns([name]).with_format("arrow")[:]
        valid: list[bool] = table.column(name).is_valid().to_pylist()
        return valid
