"""The table of datasets, filled by the `@register` above each loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from datasets_manager.base import Sample

Loader = Callable[[Path], Iterable[Sample]]

_REGISTRY: dict[str, DatasetInfo] = {}


class DatasetInfo(NamedTuple):
    """What is known of a dataset before it is opened."""

    name: str
    load: Loader
    about: str
    home: str
    licence: str
    aliases: tuple[str, ...]


def register(
    name: str, *, about: str, home: str, licence: str, aliases: tuple[str, ...] = ()
) -> Callable[[Loader], Loader]:
    """Enter the decorated loader under a name.

    Args:
        name: as users of the method write it; it becomes part of run folders' names.
        about: one line for a list of datasets.
        home: the authors' page.
        licence: of the data.
        aliases: other names; spellings that differ in case, `-` or `_` need none.
    """

    def enter(load: Loader) -> Loader:
        _REGISTRY[name] = DatasetInfo(name, load, about, home, licence, aliases)
        return load

    return enter


def registered() -> list[DatasetInfo]:
    """Everything entered so far."""
    return list(_REGISTRY.values())


def normalise(name: str) -> str:
    """A name without what users need not get right: case, `-` and `_`."""
    return name.casefold().replace("-", "").replace("_", "")
