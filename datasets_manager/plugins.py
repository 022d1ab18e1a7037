"""Datasets of other people's packages.

An installed package names its datasets under the entry-point group `apiprompt.datasets`:

    [project.entry-points."apiprompt.datasets"]
    shapes = "apiprompt_shapes:load"

where `load` is a loader under `@register`, like those here. A function that is not installed so
is `package.module:function`.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import fields
from importlib.metadata import entry_points

from datasets_manager.base import DatasetError
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import DatasetInfo, Loader, registered

GROUP = "apiprompt.datasets"


def import_installed() -> None:
    """Let every installed package register its datasets; a broken one costs a warning."""
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # whatever its import raises, other datasets still work
            warnings.warn(
                f"the dataset plug-in {entry.name} ({entry.value}) is left out: "
                f"{type(error).__name__}: {error}",
                stacklevel=1,
            )


def find(name: str) -> DatasetInfo:
    """The dataset of a loader `package.module:function`. Raises DatasetError."""
    module_name, _, function_name = name.partition(":")
    try:
        load: Loader = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:  # whatever its import raises
        raise DatasetError(
            f"dataset {name!r} cannot be imported: {type(error).__name__}: {error}; expected "
            "package.module:function, importable from here (PYTHONPATH), hf:OWNER/NAME or "
            "webdataset:PATTERN"
        ) from error
    if not callable(load):
        raise DatasetError(f"dataset {name!r} is no function, but a {type(load).__name__}")
    for info in registered():
        if info.load is load:
            return info
    return DatasetInfo(
        name,
        load,
        about=(load.__doc__ or "").strip(),
        home="-",
        licence="-",
        takes=tuple(field.name for field in fields(DatasetOptions)),
    )
