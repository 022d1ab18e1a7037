"""The best few layers, chosen on one half of the pictures and reported on the other. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from api_cli.scoring.statistics import Interval, bootstrap

_COLUMNS_AT_ONCE = 128  # of a bootstrap: resampled means are held in memory


class Figure(NamedTuple):
    """A mean over samples and its 95 % interval."""

    mean: float
    interval: Interval


def best_first(aurocs: NDArray[np.float64]) -> list[int]:
    """Places of layers by their mean AUROC over samples (N, L), the best first."""
    means = aurocs.mean(axis=0)
    return [int(place) for place in np.argsort(-means, kind="stable")]


def choose(
    order: Sequence[int],
    most: int,
    aurocs_of_mean: Callable[[Sequence[int]], NDArray[np.float64]],
) -> list[int]:
    """Of the means of the best layer, the best two, ... up to `most`, the one to use, ascending.

    More layers are taken only where they do better by more than the standard error of the paired
    difference: among means that differ by chance alone, the one of the fewest layers is the layers'
    that point best by themselves.

    Args:
        order: layers' places, the best first.
        most: layers in a mean.
        aurocs_of_mean: (N,) AUROC on each sample, of the half for choosing, of the mean of some
            layers' maps.
    """
    chosen = [order[0]]
    best = aurocs_of_mean(chosen)
    for number in range(2, min(most, len(order)) + 1):
        candidate = sorted(order[:number])
        aurocs = aurocs_of_mean(candidate)
        gained = aurocs - best
        error = gained.std(ddof=1) / np.sqrt(len(gained)) if len(gained) > 1 else np.inf
        if gained.mean() > error:
            chosen, best = candidate, aurocs
    return chosen


def figures(
    values: NDArray[np.float64], pictures: Sequence[str], *, resamples: int, seed: int
) -> list[Figure]:
    """Means and intervals of columns (N, M); whole pictures are drawn, as in `compare`.

    Args:
        values: one row a sample.
        pictures: what names each sample's picture.
        resamples: draws of the bootstrap.
        seed: of it.
    """
    numbers: dict[str, int] = {}
    clusters = np.array([numbers.setdefault(name, len(numbers)) for name in pictures], np.int64)
    intervals: list[Interval] = []
    for start in range(0, values.shape[1], _COLUMNS_AT_ONCE):  # all by the same draws
        part = values[:, start : start + _COLUMNS_AT_ONCE]
        intervals += bootstrap(part, clusters, resamples=resamples, seed=seed)
    return [Figure(float(mean), i) for mean, i in zip(values.mean(axis=0), intervals, strict=True)]
