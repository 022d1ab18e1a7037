"""Datasets by name: `get_dataset("mmvet", root)` gives samples of key, image and question.

A dataset is one file in this package: a function that takes the data root and yields samples,
decorated with `@register(...)`. Every module here is imported when names are first looked up,
so a new file needs no entry anywhere else.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from pathlib import Path

from datasets_manager.base import Dataset, DatasetError, Sample
from datasets_manager.registry import DatasetInfo, normalise, registered

__all__ = [
    "Dataset",
    "DatasetError",
    "DatasetInfo",
    "Sample",
    "available_datasets",
    "canonical_name",
    "get_dataset",
]


def get_dataset(name: str, root: Path | str = "dataset") -> Dataset:
    """Open a dataset.

    Args:
        name: a registered name or alias; case, `-` and `_` do not matter.
        root: folder that holds the datasets' files (for `imagefolder`, the folder itself).

    Raises:
        DatasetError: for an unknown name, or files that are missing or not as they should be.
    """
    info = _find(name)
    return Dataset(info.name, tuple(info.load(Path(root))))


def canonical_name(name: str) -> str:
    """The registered spelling of a dataset's name. Raises DatasetError for an unknown one."""
    return _find(name).name


def available_datasets() -> list[DatasetInfo]:
    """Every registered dataset, by name."""
    _import_all()
    return sorted(registered(), key=lambda info: info.name.casefold())


def _find(name: str) -> DatasetInfo:
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
