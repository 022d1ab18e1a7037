"""Datasets by name: `get_dataset("mmvet", root)` gives samples of key, image and question.

A dataset is one file in this package: a function that takes the data root and options and yields
samples, decorated with `@register(...)`. Every module here is imported when names are first
looked up, so a new file needs no entry anywhere else. Other people's packages can bring more
(`plugins.py`).
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from pathlib import Path

from datasets_manager import hf, hub, parquet, plugins, web_dataset
from datasets_manager.base import Dataset, DatasetError, Note, Sample
from datasets_manager.fragments import Fragment, Fragments, cut_dataset, cut_parts
from datasets_manager.opening import open_listed
from datasets_manager.options import HUB_OPTIONS, DatasetOptions
from datasets_manager.registry import DatasetInfo, Listed, loader, normalise, registered

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetInfo",
    "DatasetOptions",
    "Fragment",
    "Fragments",
    "Note",
    "Sample",
    "available_datasets",
    "canonical_name",
    "get_dataset",
    "get_fragments",
    "loader",
]


_NO_WISHES = DatasetOptions()


def get_dataset(
    name: str, root: Path | str = "dataset", options: DatasetOptions = _NO_WISHES
) -> Dataset:
    """Open a dataset.

    Args:
        name: a registered name or alias, for which case, `-` and `_` do not matter; or
            `hf:OWNER/NAME[:CONFIG][:SPLIT]`, `webdataset:PATTERN`, `parquet:PATTERN`,
            `package.module:function`.
        root: folder that holds the datasets' files (for `imagefolder`, the folder itself).
        options: which part of it, from where.

    Raises:
        DatasetError: for an unknown name, options that it does not take, or files that are
            missing or not as they should be.
    """
    info = _find(name)
    return open_listed(info.name, _listed(info, Path(root), options), options.query_column)


def get_fragments(
    name: str,
    root: Path | str = "dataset",
    options: DatasetOptions = _NO_WISHES,
    *,
    size: int,
    chosen: tuple[int, int] | None = None,
) -> Fragments:
    """Cut a dataset into parts that are opened where they are worked on.

    Args:
        name: as of `get_dataset`, as are `root` and `options`.
        root: of its files.
        options: which part of it, from where.
        size: samples of a part, as far as the source lets itself be cut so.
        chosen: first index, and the one after the last, of the samples wanted; None for all.

    Raises:
        DatasetError: as `get_dataset`.
    """
    info = _find(name)
    root = Path(root).absolute()
    if info.parts is None:
        dataset = get_dataset(name, root, options)
        return cut_dataset(dataset, get_dataset, root, options, size, chosen)
    _check_options(info, options)
    return cut_parts(info.name, info.parts(root, options, size), options, chosen)


def canonical_name(name: str) -> str:
    """The registered spelling of a dataset's name. Raises DatasetError for an unknown one."""
    return _find(name).name


def available_datasets() -> list[DatasetInfo]:
    """Every registered dataset, by name."""
    _import_all()
    return sorted(registered(), key=lambda info: info.name.casefold())


def _listed(info: DatasetInfo, root: Path, options: DatasetOptions) -> Listed:
    """From disk, or from the hub where that is asked for, or the disk has none of the set."""
    _check_options(info, options)
    on_hub = info.name in hub.HUB_SETS
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


def _check_options(info: DatasetInfo, options: DatasetOptions) -> None:
    """Raise DatasetError for an option that the set does not take."""
    on_hub = info.name in hub.HUB_SETS
    known = {*info.takes, "query_column", *(HUB_OPTIONS if on_hub else ())}
    for option in options.given:
        if option not in known and (option, options.source) != ("source", "disk"):
            raise DatasetError(
                f"{_flag(option)} does not apply to {info.name}"
                + (f"; it takes {', '.join(map(_flag, sorted(known)))}" if known else "")
            )


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
        finders = {"hf": hf.find, "webdataset": web_dataset.find, "parquet": parquet.find}
        return finders.get(scheme, plugins.find)(name)
    infos = available_datasets()
    spellings = {normalise(alias): info for info in infos for alias in (info.name, *info.aliases)}
    try:
        return spellings[normalise(name)]
    except KeyError:
        near = difflib.get_close_matches(normalise(name), spellings, n=1)
        hint = f"; did you mean {spellings[near[0]].name}?" if near else ""
        names = ", ".join(info.name for info in infos)
        raise DatasetError(f"unknown dataset {name!r}{hint} (known: {names})") from None


@cache
def _import_all() -> None:
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    plugins.import_installed()
