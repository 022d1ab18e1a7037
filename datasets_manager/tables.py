"""Tables of samples: parquet files and the hub's datasets, whose pictures are read when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from datasets_manager.base import DatasetError, Sample, required

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
        prompt: what the set's usual evaluation appends to a question; not a column.
    """

    image: str = "image"
    question: str = "question"
    key: tuple[str, ...] = ()
    part: str = ""
    prompt: str = ""


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
        rows = table.read(check_columns(table, [columns.question, *columns.key, columns.part]))
        for number, row in enumerate(rows):
            if part is not None and row[columns.part] != part:
                continue
            place = f"{table.place}, row {number}"
            key = "_".join(str(required(row, name, place)) for name in columns.key)
            yield Sample(
                key=_without_suffix(key) if columns.key else str(index),
                index=index,
                image=partial(read_picture, table, number, columns.image),
                question=str(row[columns.question] or ""),
                extra=Extra(partial(_read_extra, table, number, columns)),
            )
            index += 1


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
    """The encoded picture in a row. Raises OSError where there is none, or its file is missing."""
    value = table.row(index, [name])[name]
    if isinstance(value, dict):
        if value["bytes"] is None and value["path"]:
            return Path(value["path"]).read_bytes()
        value = value["bytes"]
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


def _read_extra(table: Table, index: int, columns: Columns) -> dict[str, Any]:
    names = [name for name in table.names if name not in (columns.question, *table.pictures)]
    fields: dict[str, Any] = plain(table.row(index, names)) if names else {}
    return fields | ({"prompt": columns.prompt} if columns.prompt else {})


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

    Args:
        path: the file.

    Raises:
        DatasetError: where it is missing or no parquet file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow
        import pyarrow.parquet

        self.place = str(path)
        self._path = path
        try:
            schema = pyarrow.parquet.read_schema(path)
        except (OSError, pyarrow.ArrowException) as error:
            raise DatasetError(f"{path} cannot be read as parquet: {error}") from error
        self.names: Sequence[str] = schema.names
        self.pictures: Sequence[str] = [
            field.name
            for field in schema
            if pyarrow.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
        ]

    def read(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """These columns of all rows."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self._path) as file:
            rows: list[dict[str, Any]] = file.read(columns=list(names)).to_pylist()
        return rows

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row; reads the group of rows it lies in."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self._path) as file:
            group, start = 0, 0
            while index >= start + file.metadata.row_group(group).num_rows:
                start += file.metadata.row_group(group).num_rows
                group += 1
            rows = file.read_row_group(group, columns=list(names), use_threads=False)
            [row] = rows.slice(index - start, 1).to_pylist()
            return dict(row)

    def present(self, name: str) -> list[bool]:
        """Which rows have a picture, by the pictures' names."""
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(self._path) as file:
            table = file.read(columns=[f"{name}.path"])
        valid: list[bool] = table.column(name).is_valid().to_pylist()
        return valid


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
