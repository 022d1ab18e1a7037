"""Datasets of other people's packages.

An installed package names its datasets under the entry-point group `apiprompt.datasets`:

    [project.entry-points."apiprompt.datasets"]
    shapes = "apiprompt_shapes:load"

where `load` is a loader under `@register`, like those here. A function that is not installed so
is `package.module:function`, and says that it is a loader:

    from datasets_manager import Sample, loader

    @loader
    def load(root, options): ...

Nothing else that can be imported is called, or even imported, since configurations name datasets
and come from other people.
"""

from __future__ import annotations

import importlib
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import fields
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from datasets_manager.base import DatasetError, Note, Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import DatasetInfo, Loader, is_loader, registered

GROUP = "apiprompt.datasets"
_MARK = (
    "mark it as a loader (from datasets_manager import loader; @loader above the function), or "
    f"let a package name it under the entry-point group {GROUP}"
)


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
    """The dataset of a loader `package.module:function`.

    Raises:
        DatasetError: where there is none of that name, or it is not marked as a loader.
    """
    load = _import(name)
    for info in registered():
        if info.load is load:
            return info

    def checked(root: Path, options: DatasetOptions) -> Iterator[Sample | Note]:
        try:
            yield from load(root, options)
        except (DatasetError, OSError):
            raise
        except Exception as error:  # whatever other people's code raises, with its place in it
            at = traceback.extract_tb(error.__traceback__)[-1]
            raise DatasetError(
                f"dataset {name} failed: {type(error).__name__}: {error} ({at.filename}, line "
                f"{at.lineno})"
            ) from error

    return DatasetInfo(
        name,
        checked,
        about=(load.__doc__ or "").strip(),
        home="-",
        licence="-",
        takes=tuple(field.name for field in fields(DatasetOptions)),
    )


def _import(name: str) -> Loader:
    module_name, _, function_name = name.partition(":")
    installed = any(name == entry.value for entry in entry_points(group=GROUP))
    try:
        if not installed and not _names_this_package(module_name):
            raise DatasetError(
                f"dataset {name!r}: {module_name} has no loaders of datasets, so it is not "
                f"imported; if {function_name} is one, {_MARK}"
            )
        load: Loader = getattr(importlib.import_module(module_name), function_name)
    except DatasetError:
        raise
    except Exception as error:  # whatever its import raises
        raise DatasetError(
            f"dataset {name!r} cannot be imported: {type(error).__name__}: {error}; expected "
            "package.module:function, importable from here (PYTHONPATH), hf:OWNER/NAME or "
            "webdataset:PATTERN"
        ) from error
    if not callable(load):
        raise DatasetError(f"dataset {name!r} is no function, but a {type(load).__name__}")
    if not installed and not is_loader(load):
        raise DatasetError(f"dataset {name!r} is not called: {_MARK}")
    return load


def _names_this_package(module_name: str) -> bool:
    """Whether a module's source mentions `datasets_manager`, as one with a loader has to.

    Nothing is imported to find out. Raises ModuleNotFoundError for a module that is not there.
    """
    top, *below = module_name.split(".")
    spec: ModuleSpec | None = find_spec(top)
    for part in below:
        locations = None if spec is None else spec.submodule_search_locations
        spec = None if locations is None else PathFinder.find_spec(f"{top}.{part}", locations)
        top = f"{top}.{part}"
    if spec is None:
        raise ModuleNotFoundError(f"No module named {module_name!r}")
    source = Path(spec.origin or "")
    return source.suffix == ".py" and b"datasets_manager" in source.read_bytes()
