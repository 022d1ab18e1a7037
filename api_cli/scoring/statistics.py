"""Paired statistics: a bootstrap interval clustered by picture, exact McNemar, Holm. Pure numpy.

`tests/api_cli/scoring/test_statistics.py` holds them against scipy and statsmodels.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEVEL = 0.95
_NUMBERS_AT_ONCE = 1 << 20  # drawn clusters held in memory: 8 MB


class Interval(NamedTuple):
    """Ends of a confidence interval."""

    low: float
    high: float


def bootstrap(
    values: NDArray[np.float64],
    clusters: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Interval]:
    """Percentile intervals of means, whole clusters drawn with replacement.

    All columns are resampled by the same draws, so that what they share cancels out, and twelve
    cost hardly more than one.

    Args:
        values: (N, M), M quantities of N samples; for paired ones their differences.
        clusters: (N,), which of 0..C-1 a sample belongs to; each is somebody's.
        resamples: how often it is drawn.
        level: of confidence.
        seed: of the draws.

    Returns:
        M intervals.
    """
    number = int(clusters.max()) + 1
    sizes = np.bincount(clusters, minlength=number).astype(np.float64)  # (C,)
    sums = [np.bincount(clusters, column, minlength=number) for column in values.T]
    table = np.column_stack([*sums, sizes])  # (C, M + 1)
    generator = np.random.default_rng(seed)
    at_once = max(1, _NUMBERS_AT_ONCE // number)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = generator.integers(0, number, (rows, number))
        drawn += np.arange(rows)[:, None] * number
        times = np.bincount(drawn.ravel(), minlength=rows * number).reshape(rows, number)
        totals = times.astype(np.float64) @ table  # (rows, M + 1)
        means[start : start + rows] = totals[:, :-1] / totals[:, -1:]
    tail = 100 * (1 - level) / 2
    ends = np.percentile(means, [tail, 100 - tail], axis=0)
    return [Interval(float(low), float(high)) for low, high in ends.T]


def mcnemar(won: int, lost: int) -> float:
    """Exact two-sided p of as uneven a split of the samples that changed, by fair coins."""
    changed, fewer = won + lost, min(won, lost)
    ways, so_far = 1, 0  # of k of the changed samples, whole numbers of any size
    for k in range(fewer + 1):
        so_far += ways
        ways = ways * (changed - k) // (k + 1)
    return min(1.0, float(Fraction(2 * so_far, 2**changed)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number, in the given order."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def is_binary(values: NDArray[np.float64]) -> bool:
    """Whether all scores are 0 or 1, as McNemar's test needs."""
    return bool(np.isin(values, (0.0, 1.0)).all())
