"""Tables of samples: parquet files and the hub's datasets, whose pictures are read when needed."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from datasets_manager.base import DatasetError, Sample, required
from datasets_manager.groups import Groups

if TYPE_CHECKING:
    import datasets

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
    """

    image: str = "image"
    question: str = "question"
    key: tuple[str, ...] = ()
    part: str = ""
    prompt: str | Callable[[Mapping[str, Any]], str] = ""
    query: str = ""
    asked: str | None = None
    left_out: tuple[str, ...] = ()


class Table(Protocol):
    """Rows under named columns, some of which hold pictures.

    Attributes:
        place: what it was read from, for messages.
        names: of all columns.
        pictures: names of those that hold pictures.
    """

    place: str
    names: Sequence[str]
    pictures: Sequence[str]

    def read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of all rows."""

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row."""

    def present(self, name: str) -> list[bool]:
        """Which rows have a value in a column, without reading the values."""


def one_sample_a_row(
    tables: Sequence[Table], columns: Columns, part: str | None = None
) -> Iterator[Sample]:
    """Samples of tables, one after the other; of one part of the set, or of all.

    Pictures, and columns that name neither key nor question, are read when they are asked for.
    """
    index = 0
    for table in tables:
        check_columns(table, [columns.image])
        question = "" if columns.asked is not None else columns.question
        wanted = [question, *columns.key, columns.part, columns.query]
        rows = table.read(check_columns(table, wanted))
        for number, row in enumerate(rows):
            if part is not None and row[columns.part] != part:
                continue
            place = f"{table.place}, row {number}"
            key = "_".join(str(required(row, name, place)) for name in columns.key)
            yield Sample(
                key=_without_suffix(key) if columns.key else str(index),
                index=index,
                image=partial(read_picture, table, number, columns.image),
                question=str(row[question] or "") if question else str(columns.asked),
                hint=hint_of(row, columns.query) if columns.query else None,
                extra=Extra(partial(read_extra, table, number, columns)),
            )
            index += 1


def hint_of(fields: Mapping[str, Any], column: str) -> str | None:
    """What a sample's fields say that the auxiliary model is asked; None where they are silent."""
    value = fields.get(column)
    return None if value is None or value == "" else str(value)


def check_columns(table: Table, names: Sequence[str]) -> list[str]:
    """The names that are not empty, each once. Raises DatasetError for one the table lacks."""
    wanted = list(dict.fromkeys(filter(None, names)))
    for name in wanted:
        if name not in table.names:
            raise DatasetError(
                f"{table.place}: no column {name!r} (there are: {', '.join(table.names)})"
            )
    return wanted


def read_picture(table: Table, index: int, name: str) -> bytes:
    """The encoded picture in a row: a struct, bytes, or base64 as text.

    Raises:
        OSError: where there is none, or its file is missing.
    """
    value = table.row(index, [name])[name]
    if isinstance(value, dict):
        if value["bytes"] is None and value["path"]:
            return Path(value["path"]).read_bytes()
        value = value["bytes"]
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except ValueError as error:
            raise OSError(f"{table.place}, row {index}: {name!r} is no base64: {error}") from error
    if not isinstance(value, bytes):
        raise OSError(f"{table.place}, row {index}: no picture in column {name!r}")
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


def read_extra(table: Table, index: int, columns: Columns) -> dict[str, Any]:
    """What a row says beside question and pictures, and the prompt that goes with it."""
    own = (columns.question, columns.image, *table.pictures, *columns.left_out)
    names = [name for name in table.names if name not in own]
    fields: dict[str, Any] = plain(table.row(index, names)) if names else {}
    prompt = columns.prompt if isinstance(columns.prompt, str) else columns.prompt(fields)
    return fields | ({"prompt": prompt} if prompt else {})


def plain(value: Any) -> Any:
    """A value of JSON's own types: dates and the like become text."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _without_suffix(key: str) -> str:
    """A key without a picture's suffix: VizWiz's ids are file names."""
    name = Path(key)
    return key[: -len(name.suffix)] if name.suffix.lower() in _PICTURE_SUFFIXES else key


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
        self.pictures: Sequence[str] = [
            field.name
            for field in schema
            if pyarrow.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
        ]

    def read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of all rows."""
        with self._open() as file:
            rows: list[dict[str, Any]] = file.read(columns=list(names)).to_pylist()
        return rows

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row; those of its group that are not kept are read."""
        group = bisect_right(self._starts, index) - 1
        columns = self._groups.get(
            self.place, group, names, lambda missing: self._read_group(group, missing)
        )
        at = index - self._starts[group]
        return {name: column[at].as_py() for name, column in columns.items()}

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
        self.names: Sequence[str] = dataset.column_names
        self.pictures: Sequence[str] = [
            name for name, kind in dataset.features.items() if isinstance(kind, Image)
        ]
        for name in self.pictures:  # so that a broken picture is one sample's matter
            dataset = dataset.cast_column(name, Image(decode=False))
        self._dataset = dataset

    def read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of all rows."""
        table = self._dataset.select_columns(list(names)).with_format("arrow")[:]
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row."""
        return dict(self._dataset.select_columns(list(names))[index])

    def present(self, name: str) -> list[bool]:
        """Which rows have a value in a column, without reading the values."""
        table = self._dataset.select_columns([name]).with_format("arrow")[:]
        valid: list[bool] = table.column(name).is_valid().to_pylist()
        return valid
