"""Which samples: the flags of every command that opens a dataset."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from api_cli.options import parsers
from api_cli.options.config import DATA, Config
from api_cli.options.option import option
from datasets_manager import DatasetOptions


@dataclass(frozen=True, kw_only=True)
class DataConfig(Config):
    """A dataset, how it is opened, and a range of it."""

    dataset: str = option(
        DATA,
        "demo",
        parsers.dataset,
        "NAME",
        "Dataset to mask; `apiprompt datasets` lists the names.",
    )
    range: tuple[int, int] | None = option(
        DATA,
        None,
        parsers.sample_range,
        "START STOP",
        "Samples START (counted from 0) to STOP (not included), cut at the dataset's end.",
        "whole set",
    )
    data_root: Path = option(
        DATA,
        Path("dataset"),
        parsers.path,
        "DIR",
        "Folder that holds the datasets' files; for imagefolder, the folder itself.",
    )
    source: str = option(
        DATA,
        "auto",
        parsers.one_of("auto", "disk", "hub"),
        "NAME",
        "Where the dataset is read from: disk, hub, or auto (the hub where the disk has none).",
    )
    hub_id: str | None = option(
        DATA,
        None,
        parsers.text,
        "OWNER/NAME",
        "The dataset's repository on the hub, or a folder that holds a copy of one.",
        "the usual one",
    )
    revision: str | None = option(
        DATA, None, parsers.text, "NAME", "Branch, tag or commit of that repository.", "main"
    )
    split: str | None = option(
        DATA,
        None,
        parsers.text,
        "NAME",
        "Part of the dataset: MMMU's dev or test, POPE's random, popular or adversarial, ...",
        "the usual one, for POPE all",
    )
    images: str = option(
        DATA,
        "all",
        parsers.one_of("all", "first"),
        "NAME",
        "Of a question about several images: mask all, or the first one alone.",
    )
    question: str | None = option(
        DATA,
        None,
        parsers.question,
        "TEXT",
        "Asked about every image of an imagefolder, of hf:..., of webdataset:..., or of PICTURE...",
        "each image's own",
    )
    image_column: str | None = option(
        DATA, None, parsers.text, "NAME", "Column of the picture.", "imagefolder's is file_name"
    )
    question_column: str | None = option(
        DATA, None, parsers.text, "NAME", "Column of the question.", "question"
    )
    key_column: str | None = option(DATA, None, parsers.text, "NAME", "Column of the key.", "key")
    query_column: str | None = option(
        DATA,
        None,
        parsers.text,
        "NAME",
        "Column of what the auxiliary model is asked instead of the question.",
        "imagefolder's hint, else the question",
    )
    streaming: bool = option(
        DATA,
        False,
        parsers.switch,
        "",
        "Read the files of hf:... where they are instead of copying them to the disk.",
    )

    @property
    def dataset_options(self) -> DatasetOptions:
        """Those of the fields that say how the dataset is to be opened."""
        return DatasetOptions(**{f.name: getattr(self, f.name) for f in fields(DatasetOptions)})
