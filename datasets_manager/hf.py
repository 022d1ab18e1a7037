"""Any dataset of the hub that has pictures and questions: `hf:OWNER/NAME[:CONFIG][:SPLIT]`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

from datasets_manager.arrow import HubTable, StreamedTable
from datasets_manager.base import DatasetError
from datasets_manager.fragments import cut_rows
from datasets_manager.hub import not_to_be_had, open_table, stream_tables
from datasets_manager.options import COLUMN_OPTIONS, DatasetOptions
from datasets_manager.registry import DatasetInfo, Listed, Part
from datasets_manager.tables import Columns, choose_columns, one_sample_a_row

_NAME = re.compile(r"hf:(?P<hub_id>[\w.-]+/[\w.-]+)(:(?P<config>[^:/]*))?(:(?P<split>[^:/]+))?")


def find(name: str) -> DatasetInfo:
    """What is known of `hf:OWNER/NAME`, before the hub is asked.

    A split without a configuration is `hf:OWNER/NAME::SPLIT`. Raises DatasetError for a name that
    is not so.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise DatasetError(
            f"{name!r}: expected hf:OWNER/NAME, hf:OWNER/NAME:CONFIG, hf:OWNER/NAME:CONFIG:SPLIT "
            "or hf:OWNER/NAME::SPLIT"
        )
    where = (match["hub_id"], match["config"] or None, match["split"])
    return DatasetInfo(
        name,
        partial(_load, *where),
        about="a dataset of Hugging Face's hub",
        home=f"https://huggingface.co/datasets/{match['hub_id']}",
        licence="see its page",
        takes=("revision", "split", "question", "streaming", *COLUMN_OPTIONS),
        parts=partial(_parts, *where),
    )


def _load(
    hub_id: str, config: str | None, split: str | None, root: Path, options: DatasetOptions
) -> Listed:
    """Samples of one split, keys from `key_column` or a column `key`, else the rows' numbers."""
    tables, columns = _open(hub_id, config, _split_of(hub_id, config, split, options), options)
    return one_sample_a_row(tables, columns)


def _parts(
    hub_id: str,
    config: str | None,
    split: str | None,
    root: Path,
    options: DatasetOptions,
    size: int,
) -> Iterator[Part]:
    """Stretches of the tables' rows; of files that are read where they are, groups of them."""
    split = _split_of(hub_id, config, split, options)
    tables, _ = _open(hub_id, config, split, options)
    for number, table in enumerate(tables):
        for rows in cut_rows(table.counts, size):
            listed = partial(_rows, hub_id, config, split, options, number)
            yield Part(f"{table.place} {table.origin}", rows, listed)


def _rows(
    hub_id: str,
    config: str | None,
    split: str,
    options: DatasetOptions,
    number: int,
    rows: range,
    first: int,
) -> Listed:
    tables, columns = _kept_open(hub_id, config, split, options)
    return one_sample_a_row([tables[number]], columns, rows=rows, first=first)


def _open(
    hub_id: str, config: str | None, split: str, options: DatasetOptions
) -> tuple[Sequence[StreamedTable | HubTable], Columns]:
    """A split's tables, and which of their columns make a sample."""
    tables: list[StreamedTable | HubTable] = []
    if options.streaming:
        tables += stream_tables(hub_id, config, split, options.revision)
    else:
        tables.append(open_table(hub_id, config, split, options.revision))
    return tables, choose_columns(tables[0], options)


_kept_open = lru_cache(maxsize=1)(_open)  # for a process's next part of the set


def _split_of(hub_id: str, config: str | None, split: str | None, options: DatasetOptions) -> str:
    if split is not None and options.split not in (None, split):
        raise DatasetError(f"hf:{hub_id}: split {split} in the name, but --split {options.split}")
    return split or options.split or _only_split(hub_id, config, options.revision)


def _only_split(hub_id: str, config: str | None, revision: str | None) -> str:
    import datasets

    try:
        splits = datasets.get_dataset_split_names(hub_id, config, revision=revision)
    except Exception as error:  # the library raises whatever its parts do
        raise not_to_be_had(hub_id, error) from error
    if len(splits) != 1:
        raise DatasetError(f"hf:{hub_id} has the splits {', '.join(splits)}; pass --split")
    return str(splits[0])
