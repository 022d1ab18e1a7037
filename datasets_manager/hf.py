"""Any dataset of the hub that has pictures and questions: `hf:OWNER/NAME[:CONFIG][:SPLIT]`."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from datasets_manager.base import DatasetError
from datasets_manager.hub import not_to_be_had, open_table, stream_tables
from datasets_manager.options import COLUMN_OPTIONS, DatasetOptions
from datasets_manager.registry import DatasetInfo, Listed
from datasets_manager.tables import Columns, Table, check_columns, one_sample_a_row

_NAME = re.compile(r"hf:(?P<hub_id>[\w.-]+/[\w.-]+)(:(?P<config>[^:/]*))?(:(?P<split>[^:/]+))?")
_QUESTIONS = ("question", "query", "prompt", "instruction", "text", "conversations", "messages")


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
    return DatasetInfo(
        name,
        partial(_load, match["hub_id"], match["config"] or None, match["split"]),
        about="a dataset of Hugging Face's hub",
        home=f"https://huggingface.co/datasets/{match['hub_id']}",
        licence="see its page",
        takes=("revision", "split", "question", "streaming", *COLUMN_OPTIONS),
    )


def _load(
    hub_id: str, config: str | None, split: str | None, root: Path, options: DatasetOptions
) -> Listed:
    """Samples of one split, keys from `key_column` or a column `key`, else the rows' numbers."""
    if split is not None and options.split not in (None, split):
        raise DatasetError(f"hf:{hub_id}: split {split} in the name, but --split {options.split}")
    split = split or options.split or _only_split(hub_id, config, options.revision)
    tables: list[Table]
    if options.streaming:
        tables = stream_tables(hub_id, config, split, options.revision)
    else:
        tables = [open_table(hub_id, config, split, options.revision)]
    table = tables[0]
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
    return one_sample_a_row(tables, columns)


def _only_split(hub_id: str, config: str | None, revision: str | None) -> str:
    import datasets

    try:
        splits = datasets.get_dataset_split_names(hub_id, config, revision=revision)
    except Exception as error:  # the library raises whatever its parts do
        raise not_to_be_had(hub_id, error) from error
    if len(splits) != 1:
        raise DatasetError(f"hf:{hub_id} has the splits {', '.join(splits)}; pass --split")
    return str(splits[0])


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
