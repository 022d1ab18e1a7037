"""The table of datasets, filled by the `@register` above each loader."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from datasets_manager.base import DatasetError, Note, Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.tables import Columns, Table

Listed = Iterable[Sample | Note]
Loader = Callable[[Path, DatasetOptions], Listed]
FromTables = Callable[[Sequence[Table], Columns, DatasetOptions], Listed]
L = TypeVar("L", bound=Loader)


class Part(NamedTuple):
    """A part of a source, known without listing its samples.

    Attributes:
        identity: the file, and what changes with its content.
        rows: of the file; None where their number is not known before it is opened.
        listed: lists its samples, of those rows where there are such; can be pickled. Its last
            argument is the index of the first.
    """

    identity: str
    rows: range | None
    listed: Callable[..., Listed]


Parts = Callable[[Path, DatasetOptions, int], Iterable[Part]]

_REGISTRY: dict[str, DatasetInfo] = {}
_MARKED: list[Loader] = []


class DatasetInfo(NamedTuple):
    """What is known of a dataset before it is opened; as the arguments of `register`.

    `parts` gives the parts of a source that knows them without listing its samples, of about so
    many samples; see `fragments.py`.
    """

    name: str
    load: Loader
    about: str
    home: str
    licence: str
    aliases: tuple[str, ...] = ()
    folder: str = ""
    takes: tuple[str, ...] = ()
    from_tables: FromTables | None = None
    metric: str = ""
    parts: Parts | None = None


def register(
    name: str,
    *,
    about: str,
    home: str,
    licence: str,
    aliases: tuple[str, ...] = (),
    folder: str = "",
    takes: tuple[str, ...] = (),
    from_tables: FromTables | None = None,
    metric: str = "",
) -> Callable[[Loader], Loader]:
    """Enter the decorated loader, which reads the dataset from disk, under a name.

    Args:
        name: as users of the method write it; it becomes part of run folders' names.
        about: one line for a list of datasets.
        home: the authors' page.
        licence: of the data.
        aliases: other names; spellings that differ in case, `-` or `_` need none.
        folder: of the dataset below the data root; where it is missing, a dataset that is in
            `hub.HUB_SETS` is read from the hub.
        takes: names of the `DatasetOptions` that the loader heeds.
        from_tables: makes samples of the hub's tables, where a row is not simply a sample.
        metric: by which the set's answers are usually scored, a name that `api_cli.scoring` knows;
            empty for none of its own.

    Raises:
        DatasetError: where the name is taken.
    """

    def enter(load: Loader) -> Loader:
        if name in _REGISTRY:
            raise DatasetError(f"two datasets are called {name!r}; give one another name")
        _REGISTRY[name] = DatasetInfo(
            name, load, about, home, licence, aliases, folder, takes, from_tables, metric
        )
        return load

    return enter


def loader(load: L) -> L:
    """Mark the decorated function as one that `--dataset package.module:function` may call."""
    _MARKED.append(load)
    return load


def is_loader(value: object) -> bool:
    """Whether a function was made to load a dataset: decorated so, or entered under a name."""
    return any(value is load for load in (*_MARKED, *(info.load for info in registered())))


def registered() -> list[DatasetInfo]:
    """Everything entered so far."""
    return list(_REGISTRY.values())


def normalise(name: str) -> str:
    """A name without what users need not get right: case, `-` and `_`."""
    return name.casefold().replace("-", "").replace("_", "")
