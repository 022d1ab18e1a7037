"""Parquet files with pictures in them, wherever they are: `parquet:PATTERN`.

The pattern is of paths, or a URL of any file system that fsspec knows: `data/*.parquet`,
`s3://bucket/data/train-*.parquet`. The files are read where they are, by groups of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets_manager.arrow import ParquetTable, StreamedTable
from datasets_manager.base import DatasetError
from datasets_manager.fragments import cut_rows
from datasets_manager.groups import Groups
from datasets_manager.listing import natural_order
from datasets_manager.options import COLUMN_OPTIONS, DatasetOptions
from datasets_manager.registry import DatasetInfo, Listed, Part
from datasets_manager.tables import choose_columns, one_sample_a_row


def find(name: str) -> DatasetInfo:
    """What is known of `parquet:PATTERN`, before the files are looked for."""
    pattern = name.removeprefix("parquet:")
    return DatasetInfo(
        name,
        partial(_load, pattern),
        about="parquet files with pictures in them",
        home="https://huggingface.co/docs/datasets/image_dataset",
        licence="yours",
        takes=("question", *COLUMN_OPTIONS),
        parts=partial(_parts, pattern),
    )


def _load(pattern: str, root: Path, options: DatasetOptions) -> Listed:
    """Samples of all files, keys from `key_column` or a column `key`, else the rows' numbers."""
    groups = Groups()
    tables = [_open(file, groups) for file in _files(pattern)]
    return one_sample_a_row(tables, choose_columns(tables[0], options))


def _parts(pattern: str, root: Path, options: DatasetOptions, size: int) -> Iterator[Part]:
    """Groups of the files' rows, by their footers."""
    columns = None
    for file in _files(pattern):
        table = _open(file, Groups())
        columns = columns or choose_columns(table, options)
        identity = f"{file} {table.size} bytes"
        for rows in cut_rows(table.counts, size):
            yield Part(identity, rows, partial(_rows, file, options))


def _rows(file: str, options: DatasetOptions, rows: range, first: int) -> Listed:
    table = _open(file, Groups())
    return one_sample_a_row([table], choose_columns(table, options), rows=rows, first=first)


def _open(file: str, groups: Groups) -> ParquetTable:
    return StreamedTable(file, groups) if "://" in file else ParquetTable(Path(file), groups)


def _files(pattern: str) -> list[str]:
    """The files of a pattern, in natural order."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(pattern)
        found = sorted(system.glob(path), key=natural_order)
    except Exception as error:  # whatever a file system raises
        reason = " ".join(str(error).split())
        raise DatasetError(
            f"parquet:{pattern} cannot be listed: {type(error).__name__}: {reason:.300}"
        ) from error
    if not found:
        raise DatasetError(
            f"parquet:{pattern}: no file matches; expected a pattern like data/*.parquet or "
            "s3://bucket/data/*.parquet"
        )
    return [system.unstrip_protocol(file) if "://" in pattern else file for file in found]
