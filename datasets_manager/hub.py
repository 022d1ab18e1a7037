"""Datasets from Hugging Face's hub, by the `datasets` library.

That library heeds HF_HOME, HF_HUB_OFFLINE, HF_TOKEN and the like, and keeps what it has fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from datasets_manager import prompts
from datasets_manager.arrow import HubTable, StreamedTable
from datasets_manager.base import DatasetError, Note, Sample
from datasets_manager.groups import Groups
from datasets_manager.mmmu import SUBJECTS
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import DatasetInfo, FromTables, Listed
from datasets_manager.tables import Columns, Table, one_sample_a_row


class HubSet(NamedTuple):
    """Where on the hub a set is, and which of its columns make a sample.

    Attributes:
        hub_id: of the repository.
        split: of it.
        columns: of the split's table.
        configs: of the repository, read one after the other, `{split}` in a name filled in; empty
            for the only one.
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
    "vstar": HubSet("lmms-lab/vstar-bench", "test",
                    Columns(question="text", key=("question_id",))),
    "HR-Bench-4K": HubSet("DreamMr/HR-Bench", "hrbench_4k",
                          Columns(key=("index",), prompt=prompts.hr_bench),
                          ("hrbench_version_split",)),
    "HR-Bench-8K": HubSet("DreamMr/HR-Bench", "hrbench_8k",
                          Columns(key=("index",), prompt=prompts.hr_bench),
                          ("hrbench_version_split",)),
    "MME-RealWorld-Lite": HubSet("yifanzhang114/MME-RealWorld-lite-lmms-eval", "train",
                                 Columns(image="bytes", key=("index",),
                                         prompt=prompts.mme_real_world)),
    "DocVQA": HubSet("lmms-lab/DocVQA", "validation",
                     Columns(key=("questionId",), prompt=prompts.SHORT_ANSWER), ("DocVQA",)),
    "InfoVQA": HubSet("lmms-lab/DocVQA", "validation",
                      Columns(key=("questionId",), prompt=prompts.SHORT_ANSWER, left_out=("ocr",)),
                      ("InfographicVQA",)),
    "GQA": HubSet("lmms-lab/GQA", "testdev",
                  Columns(key=("id",), prompt=prompts.SHORT_ANSWER),
                  ("{split}_balanced_instructions", "{split}_balanced_images")),
    "A-OKVQA": HubSet("HuggingFaceM4/A-OKVQA", "validation",
                      Columns(key=("question_id",), prompt=prompts.a_okvqa)),
}
# fmt: on
_MOVED = ("lmms-lab/", "lmms-lab-encoder/")  # where several repositories were, and are


def load(info: DatasetInfo, options: DatasetOptions) -> Listed:
    """Samples of a set from the hub.

    A set that has parts (a column names a row's) takes `split` for one of them, as it does on
    disk; in others it is the repository's split.

    Raises:
        DatasetError: where the hub does not give it.
    """
    hub_id = HUB_SETS[info.name].hub_id
    if options.hub_id is not None or not hub_id.startswith(_MOVED[0]):
        return _load_from(options.hub_id or hub_id, info.name, info.from_tables, options)
    try:
        return _load_from(hub_id, info.name, info.from_tables, options)
    except DatasetError as not_there:
        moved = hub_id.replace(*_MOVED)
        try:
            listed = _load_from(moved, info.name, info.from_tables, options)
        except DatasetError as nor_there:
            raise DatasetError(f"{not_there}. Nor from {moved}: {nor_there}") from nor_there
        return _noting(f"{info.name} is read from {moved}, since {hub_id} is not to be had", listed)


def _noting(text: str, listed: Listed) -> Iterator[Sample | Note]:
    yield Note(text)
    yield from listed


def load_copy(
    folder: Path, name: str, from_tables: FromTables | None, options: DatasetOptions
) -> Listed:
    """Samples of a set from a folder that holds a copy of its repository on the hub.

    Raises:
        DatasetError: where there is none.
    """
    if not folder.is_dir():
        hub_id = HUB_SETS[name].hub_id
        raise DatasetError(
            f"{folder} not found; put a copy of the hub's {hub_id} there (hf download {hub_id} "
            f"--repo-type dataset --local-dir {folder}), or pass --data-root"
        )
    return _load_from(str(folder), name, from_tables, options)


def _load_from(
    hub_id: str, name: str, from_tables: FromTables | None, options: DatasetOptions
) -> Listed:
    entry = HUB_SETS[name]
    split = entry.split if entry.columns.part else options.split or entry.split
    tables: list[Table] = [
        open_table(hub_id, config and config.format(split=split), split, options.revision)
        for config in entry.configs or (None,)
    ]
    columns = entry.columns._replace(query=options.query_column or "")
    if from_tables is not None:
        return from_tables(tables, columns, options)
    return one_sample_a_row(tables, columns, options.split if columns.part else None)


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


def stream_tables(
    hub_id: str, config: str | None, split: str, revision: str | None
) -> list[StreamedTable]:
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
    groups = Groups()
    return [StreamedTable(file, groups) for file in files]


def _place(hub_id: str, config: str | None, split: str) -> str:
    return f"{hub_id}{f' ({config})' if config else ''}, split {split}"


def not_to_be_had(place: str, error: Exception) -> DatasetError:
    """What to raise where the hub has raised something."""
    reason = " ".join(str(error).split())
    return DatasetError(
        f"{place}, cannot be had from the hub: {type(error).__name__}: {reason:.300}"
    )
