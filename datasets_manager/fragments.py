"""Parts of a set that are opened where they are worked on, so that nobody holds all its samples.

A source that knows its parts without listing them says so (`DatasetInfo.parts`): a tar each, or
groups of a parquet file's rows by its footer. Any other set is opened whole and cut into ranges;
whoever works on one opens the set once. No cut is made between samples that are known to be about
one picture. A key that two samples of a part share is found when it is opened, as in a whole set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from datasets_manager.base import Dataset, DatasetError, Sample
from datasets_manager.opening import open_listed
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import Listed, Part

Open = Callable[[str, Path, DatasetOptions], Dataset]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a set; it can be pickled, and opened wherever its source can be read.

    Attributes:
        number: among the set's fragments, from 0.
        name: the dataset's canonical name.
        first: index of its first sample in the set; 0 for each tar, whose numbers nobody knows.
        samples: how many; None where that is known when it is opened.
        listed: lists its samples, the first of which has the index given.
        query_column: see `DatasetOptions`.
    """

    number: int
    name: str
    first: int
    samples: int | None
    listed: Callable[[int], Listed]
    query_column: str | None = None

    def open(self) -> Dataset:
        """Its samples. Raises DatasetError where they cannot be had."""
        return open_listed(self.name, self.listed(self.first), self.query_column, self.first)


class Fragments(NamedTuple):
    """How a set is cut.

    Attributes:
        name: the dataset's canonical name.
        parts: in the set's order.
        source: 16 hex digits that change with the source's files and their sizes, or, of a set that
            was listed for it, with its keys and questions.
        notes: what was left out while listing, a sentence each.
    """

    name: str
    parts: Sequence[Fragment]
    source: str
    notes: Sequence[str] = ()

    @property
    def samples(self) -> int | None:
        """How many in all; None where that is not known."""
        counts = [part.samples for part in self.parts]
        return None if None in counts else sum(count or 0 for count in counts)


def cut_parts(
    name: str, parts: Iterable[Part], options: DatasetOptions, chosen: tuple[int, int] | None
) -> Fragments:
    """Fragments of a source that knows its parts.

    Args:
        name: the dataset's canonical name.
        parts: of the source, in order.
        options: how it is opened.
        chosen: first index, and the one after the last, of the samples wanted; None for all.

    Raises:
        DatasetError: where a range is chosen of parts that do not say how many samples they hold.
    """
    fragments: list[Fragment] = []
    digest = sha256()
    index = 0
    for part in parts:
        digest.update(f"{part.identity}\n{part.rows}\n".encode("utf-8", "surrogatepass"))
        count, listed = None, part.listed
        if part.rows is not None:
            rows = _within(part.rows, index, chosen)
            skipped, count = rows.start - part.rows.start, len(rows)
            listed = partial(part.listed, rows)
        elif chosen is not None:
            raise DatasetError(
                f"--range does not go with {name} in shards, since only opening them tells how "
                "many samples its tars hold; name the tars that are meant in the pattern"
            )
        if count != 0:
            first = 0 if part.rows is None else index + skipped
            fragments.append(
                Fragment(len(fragments), name, first, count, listed, options.query_column)
            )
        index += 0 if part.rows is None else len(part.rows)
    return Fragments(name, fragments, digest.hexdigest()[:16])


def _within(rows: range, index: int, chosen: tuple[int, int] | None) -> range:
    """Those of a part's rows, the first of which has this index in the set, that are chosen."""
    if chosen is None:
        return rows
    start, stop = (min(max(0, bound - index), len(rows)) for bound in chosen)
    return rows[start:stop]


def cut_rows(counts: Iterable[int], size: int) -> Iterator[range]:
    """Stretches of the rows of a file of about `size`, cut between its groups where it can be.

    Args:
        counts: rows of each group.
        size: rows of a stretch at most; a group of more is cut into equal parts.
    """
    start = stop = 0
    for count in counts:
        if stop > start and stop + count - start > size:
            yield range(start, stop)
            start = stop
        stop += count
        if stop - start > size:
            pieces = -(-(stop - start) // size)
            whole = range(start, stop)
            yield from (
                whole[len(whole) * n // pieces : len(whole) * (n + 1) // pieces]
                for n in range(pieces)
            )
            start = stop
    if stop > start:
        yield range(start, stop)


def cut_dataset(
    dataset: Dataset,
    open_set: Open,
    root: Path,
    options: DatasetOptions,
    size: int,
    chosen: tuple[int, int] | None,
) -> Fragments:
    """Fragments of a set that had to be opened: ranges of it, each of which opens it again.

    Args:
        dataset: the set.
        open_set: opens it by name, root and options.
        root: of its files.
        options: how it was opened.
        size: samples of a fragment, more only where they are about one picture.
        chosen: first index, and the one after the last, of the samples wanted; None for all.
    """
    start, end = (0, len(dataset)) if chosen is None else (min(c, len(dataset)) for c in chosen)
    fragments: list[Fragment] = []
    while start < end:
        stop = min(start + size, end)
        while stop < end and dataset[stop - 1].shares_picture(dataset[stop]):
            stop += 1
        listed = partial(_range_of, open_set, dataset.name, root, options, stop)
        fragments.append(Fragment(len(fragments), dataset.name, start, stop - start, listed))
        start = stop
    digest = sha256()
    for sample in dataset:
        digest.update(f"{sample.key}\n{sample.query}\n".encode("utf-8", "surrogatepass"))
    return Fragments(dataset.name, fragments, digest.hexdigest()[:16], dataset.notes)


def _range_of(
    open_set: Open, name: str, root: Path, options: DatasetOptions, stop: int, first: int
) -> Sequence[Sample]:
    return _opened(open_set, name, root, options)[first:stop]


@lru_cache(maxsize=1)
def _opened(open_set: Open, name: str, root: Path, options: DatasetOptions) -> Dataset:
    """A set, opened once for all of a process's fragments."""
    return open_set(name, root, options)
