"""Datasets from Hugging Face's hub, by the `datasets` library.

That library heeds HF_HOME, HF_HUB_OFFLINE, HF_TOKEN and the like, and keeps what it has fetched.
"""

from __future__ import annotations

from typing import NamedTuple

from datasets_manager import prompts
from datasets_manager.base import DatasetError
from datasets_manager.mmmu import SUBJECTS
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import DatasetInfo, Listed
from datasets_manager.tables import Columns, HubTable, StreamedTable, Table, one_sample_a_row


class HubSet(NamedTuple):
    """Where on the hub a set is, and which of its columns make a sample.

    Attributes:
        hub_id: of the repository.
        split: of it.
        columns: of the split's table.
        configs: of the repository, read one after the other; empty for the only one.
    """

    hub_id: str
    split: str
    columns: Columns
    configs: tuple[str, ...] = ()


# fmt: off
HUB_SETS = {
    "mmvet": HubSet("lmms-lab/MMVet", "test", Columns(key=("question_id",))),
    "LLaVA_Wild": HubSet("lmms-lab/llava-bench-in-the-wild", "train",
                         Columns(picture="image_id")),
    "textVQA": HubSet("lmms-lab/textvqa", "validation",
                      Columns(key=("question_id",), picture="image_id",
                              prompt=prompts.SHORT_ANSWER)),
    "VisWiz": HubSet("lmms-lab/VizWiz-VQA", "val",
                     Columns(key=("question_id",), prompt=prompts.SHORT_OR_UNANSWERABLE)),
    "MMMU": HubSet("MMMU/MMMU", "validation", Columns(), configs=SUBJECTS),
    "MME": HubSet("lmms-lab/MME", "test",
                  Columns(key=("question_id",), picture="question_id",
                          prompt=prompts.YES_OR_NO)),
    "POPE": HubSet("lmms-lab/POPE", "test",
                   Columns(key=("category", "question_id"), part="category",
                           picture="image_source", prompt=prompts.SHORT_ANSWER)),
}
# fmt: on


def load(info: DatasetInfo, options: DatasetOptions) -> Listed:
    """Samples of a set from the hub.

    A set that has parts (a column names a row's) takes `split` for one of them, as it does on
    disk; in others it is the repository's split.

    Raises:
        DatasetError: where the hub does not give it.
    """
    entry = HUB_SETS[info.name]
    hub_id = options.hub_id or entry.hub_id
    split = entry.split if entry.columns.part else options.split or entry.split
    tables: list[Table] = [
        open_table(hub_id, config, split, options.revision) for config in entry.configs or (None,)
    ]
    columns = entry.columns._replace(query=options.query_column or "")
    if info.from_tables is not None:
        return info.from_tables(tables, columns, options)
    part = options.split if columns.part else None
    return one_sample_a_row(tables, columns, part)


def open_table(hub_id: str, config: str | None, split: str, revision: str | None) -> HubTable:
    """One split of a repository on the hub, or of a folder that holds a copy of one.

    Raises:
        DatasetError: where it cannot be had, with the hub's reason.
    """
    import datasets

    place = _place(hub_id, config, split)
    try:
        dataset = datasets.load_dataset(hub_id, config, split=split, revision=revision)
    except Exception as error:  # the library raises whatever its parts do
        raise not_to_be_had(place, error) from error
    return HubTable(dataset, place)


def stream_tables(hub_id: str, config: str | None, split: str, revision: str | None) -> list[Table]:
    """One split of a repository of parquet files, read where it is, for sets larger than the disk.

    Raises:
        DatasetError: where it cannot be had, or holds other files.
    """
    import datasets

    place = _place(hub_id, config, split)
    try:
        builder = datasets.load_dataset_builder(hub_id, config, revision=revision)
        files = [str(file) for file in (builder.config.data_files or {})[split]]
    except Exception as error:  # the library raises whatever its parts do
        raise not_to_be_had(place, error) from error
    if not all(file.endswith(".parquet") for file in files):
        raise DatasetError(
            f"{place}: only parquet files can be streamed, and these are {files[0]} and the like; "
            "leave --streaming out, or pass --revision refs/convert/parquet where the hub has one"
        )
    return [StreamedTable(file) for file in files]


def _place(hub_id: str, config: str | None, split: str) -> str:
    return f"{hub_id}{f' ({config})' if config else ''}, split {split}"


def not_to_be_had(place: str, error: Exception) -> DatasetError:
    """What to raise where the hub has raised something."""
    reason = " ".join(str(error).split())
    return DatasetError(
        f"{place}, cannot be had from the hub: {type(error).__name__}: {reason:.300}"
    )
