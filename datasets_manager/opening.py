"""From what a loader yields to a dataset, or to a part of one."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from datasets_manager.base import Dataset, DatasetError, Note, Sample
from datasets_manager.registry import Listed
from datasets_manager.rows import Row
from datasets_manager.tables import Extra


def open_listed(
    name: str, listed: Listed, query_column: str | None = None, first: int = 0
) -> Dataset:
    """The dataset of a loader's samples and notes.

    Args:
        name: its canonical name.
        listed: what its loader yields.
        query_column: what else is known of a sample that the auxiliary model is asked, if anything.
        first: index of the first sample.

    Raises:
        DatasetError: where something else is yielded, or no sample has that column.
    """
    with no_garbage_collection():
        items = tuple(listed)
        samples: Sequence[Sample] = [item for item in items if isinstance(item, Sample)]
        others = [item for item in items if not isinstance(item, Sample)]
        for item in others:
            if not isinstance(item, Note):
                raise DatasetError(f"dataset {name}: expected samples, got {item!r:.80}")
        if query_column is not None:
            samples = _with_hints(samples, query_column)
        return Dataset(name, samples, [note.text for note in others], first)


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


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep Python from looking for garbage among 100,000 new samples, again and again: a second."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
