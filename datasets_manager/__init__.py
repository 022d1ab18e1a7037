"""Datasets by name: `get_dataset("mmvet", root)` gives samples of key, image and question.

A dataset is one file in this package: a function that takes the data root and options and yields
samples, decorated with `@register(...)`. Every module here is imported when names are first
looked up, so a new file needs no entry anywhere else. Other people's packages can bring more
(`plugins.py`).
"""

from __future__ import annotations

import difflib
import gc
import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from datasets_manager import hf, hub, plugins, web_dataset
from datasets_manager.base import Dataset, DatasetError, Note, Sample
from datasets_manager.options import HUB_OPTIONS, DatasetOptions
from datasets_manager.registry import DatasetInfo, Listed, loader, normalise, registered
from datasets_manager.rows import Row
from datasets_manager.tables import Extra

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetInfo",
    "DatasetOptions",
    "Note",
    "Sample",
    "available_datasets",
    "canonical_name",
    "get_dataset",
    "loader",
]


_NO_WISHES = DatasetOptions()


def get_dataset(
    name: str, root: Path | str = "dataset", options: DatasetOptions = _NO_WISHES
) -> Dataset:
    """Open a dataset.

    Args:
        name: a registered name or alias, for which case, `-` and `_` do not matter; or
            `hf:OWNER/NAME[:CONFIG][:SPLIT]`, `webdataset:PATTERN`, `package.module:function`.
        root: folder that holds the datasets' files (for `imagefolder`, the folder itself).
        options: which part of it, from where.

    Raises:
        DatasetError: for an unknown name, options that it does not take, or files that are
            missing or not as they should be.
    """
    info = _find(name)
    with _no_garbage_collection():
        listed = tuple(_listed(info, Path(root), options))
        samples: Sequence[Sample] = [item for item in listed if isinstance(item, Sample)]
        others = [item for item in listed if not isinstance(item, Sample)]
        for item in others:
            if not isinstance(item, Note):
                raise DatasetError(f"dataset {info.name}: expected samples, got {item!r:.80}")
        if options.query_column is not None:
            samples = _with_hints(samples, options.query_column)
        return Dataset(info.name, samples, [note.text for note in others])


def canonical_name(name: str) -> str:
    """The registered spelling of a dataset's name. Raises DatasetError for an unknown one."""
    return _find(name).name


def available_datasets() -> list[DatasetInfo]:
    """Every registered dataset, by name."""
    _import_all()
    return sorted(registered(), key=lambda info: info.name.casefold())


def _listed(info: DatasetInfo, root: Path, options: DatasetOptions) -> Listed:
    """From disk, or from the hub where that is asked for, or the disk has none of the set."""
    on_hub = info.name in hub.HUB_SETS
    known = {*info.takes, "query_column", *(HUB_OPTIONS if on_hub else ())}
    for option in options.given:
        if option not in known and (option, options.source) != ("source", "disk"):
            raise DatasetError(
                f"{_flag(option)} does not apply to {info.name}"
                + (f"; it takes {', '.join(map(_flag, sorted(known)))}" if known else "")
            )
    asks_for_hub = options.source == "hub" or options.hub_id or options.revision
    if options.source == "disk" or not on_hub:
        return _from_disk(info, root, options)
    if asks_for_hub:
        return hub.load(info, options)
    if (root / info.folder).exists():
        return _from_disk(info, root, options)
    try:
        return hub.load(info, options)
    except DatasetError as not_on_hub:
        try:
            return tuple(info.load(root, options))
        except DatasetError as not_on_disk:
            raise DatasetError(f"{not_on_disk}. Nor from the hub: {not_on_hub}") from not_on_hub


def _with_hints(samples: Sequence[Sample], column: str) -> Sequence[Sample]:
    """The samples, hints taken from what else is known of them where their loader has set none."""
    if samples and not any(_may_have(sample, column) for sample in samples):
        there = dict.fromkeys(name for sample in samples for name in sample.extra)
        raise DatasetError(
            f"no sample has {column!r} for --query-column (there are: {', '.join(there) or 'none'})"
        )
    return [_with_hint(sample, column) for sample in samples]


def _may_have(sample: Sample, column: str) -> bool:
    read_with_table = sample.hint is not None or isinstance(sample.extra, Extra)
    return read_with_table or column in sample.extra


def _with_hint(sample: Sample, column: str) -> Sample:
    if sample.fault is not None or sample.hint is not None or isinstance(sample.extra, Extra):
        return sample
    row = Row(sample.extra, f"sample {sample.index}")
    if column not in row:
        row.text(column)  # for what it says of a column that is not there
    hint = row.hint(column)
    return replace(sample, hint=hint, fault=row.fault)


def _from_disk(info: DatasetInfo, root: Path, options: DatasetOptions) -> Listed:
    for option in options.given:
        if option not in (*info.takes, "source", "query_column"):
            raise DatasetError(
                f"{_flag(option)} does not apply to {info.name} on disk; --source hub reads it "
                "from the hub"
            )
    return info.load(root, options)


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _find(name: str) -> DatasetInfo:
    scheme, colon, _ = name.partition(":")
    if colon:
        return {"hf": hf.find, "webdataset": web_dataset.find}.get(scheme, plugins.find)(name)
    infos = available_datasets()
    spellings = {normalise(alias): info for info in infos for alias in (info.name, *info.aliases)}
    try:
        return spellings[normalise(name)]
    except KeyError:
        near = difflib.get_close_matches(normalise(name), spellings, n=1)
        hint = f"; did you mean {spellings[near[0]].name}?" if near else ""
        names = ", ".join(info.name for info in infos)
        raise DatasetError(f"unknown dataset {name!r}{hint} (known: {names})") from None


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from looking for garbage among 100,000 new samples, again and again: a second."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@cache
def _import_all() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    plugins.import_installed()
