"""Tables that Arrow reads: parquet files on the disk and elsewhere, and the hub's datasets."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_manager.base import DatasetError, digest_origin, file_stamp
from datasets_manager.groups import Groups
from datasets_manager.rows import Unreadable

if TYPE_CHECKING:
    import datasets

_COMMIT = re.compile("@[0-9a-f]{40}/")  # in the URL of a file on the hub


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

    Attributes:
        size: of its groups and its footer, in bytes.

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
                self.size = self._metadata.serialized_size + sum(
                    self._metadata.row_group(n).total_byte_size
                    for n in range(self._metadata.num_row_groups)
                )
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

    @property
    def counts(self) -> list[int]:
        """Rows of each group, as the file's footer has them."""
        return [stop - start for start, stop in pairwise(self._starts)]

    def read(self, names: Sequence[str], rows: range | None = None) -> list[dict[str, Any]]:
        """These columns of all rows, or of those of a stretch, whose groups alone are read.

        `Unreadable` stands for a value that cannot be had.
        """
        with self._open() as file:
            if rows is None:
                return _to_rows(file.read(columns=list(names)))
            groups = range(self._group_of(rows[0]), self._group_of(rows[-1]) + 1) if rows else ()
            table = file.read_row_groups(list(groups), columns=list(names))
            start = rows.start - self._starts[groups[0]] if groups else 0
            return _to_rows(table.slice(start, len(rows)))

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row; those of its group that are not kept are read."""
        group = self._group_of(index)
        columns = self._groups.get(
            self.place, group, names, lambda missing: self._read_group(group, missing)
        )
        at = index - self._starts[group]
        return {name: _value(column[at]) for name, column in columns.items()}

    def group(self, index: int) -> str:
        """Names the group that a row is read with."""
        return f"{self.place} {self._group_of(index)}"

    def _group_of(self, index: int) -> int:
        """The number of the group that a row is in."""
        return bisect_right(self._starts, index) - 1

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

    @property
    def counts(self) -> list[int]:
        """Rows, as of one group."""
        return [len(self._dataset)]

    def read(self, names: Sequence[str], rows: range | None = None) -> list[dict[str, Any]]:
        """These columns of all rows, or of a stretch; `Unreadable` for what cannot be had."""
        wanted = slice(None) if rows is None else slice(rows.start, rows.stop)
        return _to_rows(self._dataset.select_columns(list(names)).with_format("arrow")[wanted])

    def row(self, index: int, names: Sequence[str]) -> dict[str, Any]:
        """These columns of one row."""
        selected = self._dataset.select_columns(list(names))
        try:
            return dict(selected[index])
        except Exception:  # a value that is not what its type says
            [row] = _to_rows(selected.with_format("arrow")[index])
            return row

    def group(self, index: int) -> None:
        """None: rows are read alone."""

    def present(self, name: str) -> list[bool]:
        """Which rows have a value in a column, without reading the values."""
        table = self._dataset.select_columns([name]).with_format("arrow")[:]
        valid: list[bool] = table.column(name).is_valid().to_pylist()
        return valid
