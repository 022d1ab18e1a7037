"""Views of a picture, brought together in one map: against areas counted point by point."""

from __future__ import annotations

import numpy as np
import pytest

from api_cli.relevance.llava.views import WHOLE, View, map_size, one_map, whole_grid

_POINTS = 240  # a side; of every cell size in the layouts here a multiple


def literally(mass, views, size):
    """Look at many points of the picture: the weighted mean of the tokens seen at each."""
    summed, cover = np.zeros((_POINTS, _POINTS)), np.zeros((_POINTS, _POINTS))
    for row in range(_POINTS):
        for column in range(_POINTS):
            x, y = (column + 0.5) / _POINTS, (row + 0.5) / _POINTS
            for tokens, (x0, y0, x1, y1) in views:
                h, w = tokens.shape
                i, j = int((y - y0) / (y1 - y0) * h // 1), int((x - x0) / (x1 - x0) * w // 1)
                if 0 <= i < h and 0 <= j < w and y >= y0 and x >= x0:
                    density = h * w / ((x1 - x0) * (y1 - y0))  # a token is spread over its cell
                    summed[row, column] += density * mass[tokens[i, j]]
                    cover[row, column] += density
    h, w = size

    def cells(points):
        return points.reshape(h, _POINTS // h, w, _POINTS // w).sum(axis=(1, 3))

    return cells(summed) / cells(cover)


def grid(height, width, box, first):
    return View(whole_grid(height, width, first).tokens, box)


LAYOUTS = {
    "one": [whole_grid(4, 5)],
    "coarse over fine": [whole_grid(2, 3), whole_grid(8, 6, first=6)],
    "thumbnail and two tiles": [
        whole_grid(4, 4),
        grid(8, 6, (0, 0, 0.5, 1), 16),
        grid(8, 6, (0.5, 0, 1, 1), 64),
    ],
    "sticking out": [whole_grid(3, 3), grid(6, 6, (-0.1, -0.1, 1.1, 1.1), 9)],
    "uneven cells": [whole_grid(5, 3), grid(8, 12, (0.0, 0.25, 1.0, 0.75), 15)],
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_map_is_the_mean_of_what_is_seen_at_each_place(name):
    views = LAYOUTS[name]
    mass = np.random.default_rng(7).random(1 + max(view.tokens.max() for view in views))
    ours = one_map(mass.astype(np.float32), views)
    assert ours.shape == map_size(views)
    assert ours.dtype == np.float32
    if name == "sticking out":  # 6 cells in 1.2: a cell of the map is 1 of 5
        assert ours.shape == (5, 5)
    np.testing.assert_allclose(ours, literally(mass, views, ours.shape), atol=0.006)


@pytest.mark.parametrize("name", LAYOUTS)
def test_flat_attention_gives_a_flat_map(name):
    views = LAYOUTS[name]
    count = 1 + max(view.tokens.max() for view in views)
    flat = one_map(np.full((2, count), 0.25, np.float32), views)
    np.testing.assert_allclose(flat, 0.25, rtol=1e-6)


def test_a_single_grid_is_its_own_map():
    mass = np.arange(12, dtype=np.float32)
    np.testing.assert_array_equal(one_map(mass, [whole_grid(3, 4)]), mass.reshape(3, 4))
    backwards = View(whole_grid(3, 4).tokens[::-1], WHOLE)
    np.testing.assert_array_equal(one_map(mass, [backwards]), mass.reshape(3, 4)[::-1])


def test_tokens_of_no_view_are_left_out():
    mass = np.array([1, 2, 99, 3, 4, 99], np.float32)  # a new line after each row
    view = View(np.array([[0, 1], [3, 4]]), WHOLE)
    np.testing.assert_array_equal(one_map(mass, [view]), [[1, 2], [3, 4]])


def test_a_place_that_no_view_reaches_is_empty():
    half = grid(2, 2, (0, 0, 0.5, 1), 0)
    np.testing.assert_array_equal(
        one_map(np.ones(4, np.float32), [half]), [[1, 1, 0, 0], [1, 1, 0, 0]]
    )
