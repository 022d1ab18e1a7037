"""The best few layers: chosen on one half, with as few layers as do."""

from __future__ import annotations

import numpy as np
import pytest

from api_cli.profiling.choosing import best_first, choose, figures
from api_cli.profiling.measuring import Spool
from api_cli.scoring.statistics import bootstrap


def test_layers_rank_by_their_mean():
    aurocs = np.array([[0.5, 0.9, 0.7, 0.9], [0.7, 0.9, 0.6, 0.9]])
    assert best_first(aurocs) == [1, 3, 2, 0]


def aurocs(values):
    """By tuple of layers: AUROC on four samples."""
    table = {layers: np.array(of) for layers, of in values.items()}
    return lambda layers: table[tuple(layers)]


ALONE = np.array([0.90, 0.92, 0.94, 0.92])


@pytest.mark.parametrize(
    ("two", "three", "most", "expected"),
    [
        (ALONE + 0.02, ALONE + 0.05, 5, [0, 1, 2]),
        (ALONE + 0.02, ALONE + 0.05, 2, [0, 2]),
        (ALONE + 0.02, ALONE + 0.05, 1, [2]),
        (ALONE + 0.02, ALONE + 0.02, 5, [0, 2]),
        (ALONE - 0.1, ALONE + 0.05, 5, [0, 1, 2]),
        (
            ALONE + np.array([0.1, -0.09, 0.1, -0.09]),
            ALONE,
            5,
            [2],
        ),  # no more than its standard error
    ],
)
def test_more_layers_are_taken_where_they_do_better(two, three, most, expected):
    of = aurocs({(2,): ALONE, (0, 2): two, (0, 1, 2): three})
    assert choose([2, 0, 1], most, of) == expected


def test_figures_are_drawn_by_picture_and_alike_in_every_column():
    rng = np.random.default_rng(0)
    values = rng.random((40, 300))
    pictures = [f"{n // 2}" for n in range(40)]
    found = figures(values, pictures, resamples=200, seed=3)
    clusters = np.arange(40) // 2
    expected = bootstrap(values, clusters, resamples=200, seed=3)
    for one, alone in zip(found, expected, strict=True):
        assert one.interval == pytest.approx(alone)  # to the last bits of how sums are grouped
    assert [one.mean for one in found] == pytest.approx(values.mean(axis=0))


def test_maps_wait_on_the_disk_whatever_their_shapes():
    spool = Spool()
    maps = [np.random.default_rng(n).random((3, 1, n + 1, 4)).astype(np.float32) for n in range(5)]
    places = [spool.put(one) for one in maps]
    for place, one in reversed(list(zip(places, maps, strict=True))):
        np.testing.assert_array_equal(spool.get(place), one)
    spool.close()
