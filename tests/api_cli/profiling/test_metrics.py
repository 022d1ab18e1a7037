"""Maps against boxes: each figure by going through the picture's points one by one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_cli.masking import CLIP, LLAVA
from api_cli.profiling.boxes import cover, find_column, has_outside, read_boxes, to_fractions
from api_cli.profiling.measuring import map_names, scores_of
from api_cli.profiling.metrics import auroc, mass, pointing, score

SIDE = 24  # points of a picture's side, a multiple of every grid's here


def literal(map_, boxes, outline):
    """AUROC by pairs of points, and the mass, of a SIDE x SIDE picture; boxes on its points."""
    left, top, right, bottom = outline
    inside: list[float] = []
    outside: list[float] = []
    total: dict[tuple[int, int], list[bool]] = {}
    for y in range(SIDE):
        for x in range(SIDE):
            column = int(left + (x + 0.5) / SIDE * (right - left))
            row = int(top + (y + 0.5) / SIDE * (bottom - top))
            middle = (x + 0.5) / SIDE, (y + 0.5) / SIDE
            hit = any(a <= middle[0] < c and b <= middle[1] < d for a, b, c, d in boxes)
            (inside if hit else outside).append(map_[row, column])
            total.setdefault((row, column), []).append(hit)
    pairs = [float(i > o) + 0.5 * float(i == o) for i in inside for o in outside]
    cells = sum(map_[cell] for cell in total)
    within = sum(map_[cell] * np.mean(hits) for cell, hits in total.items())
    return np.mean(pairs), within / cells


boxes_of_points = st.lists(
    st.tuples(*(st.integers(0, SIDE - 1),) * 2, *(st.integers(1, 12),) * 2).map(
        lambda b: (b[0], b[1], min(SIDE, b[0] + b[2]), min(SIDE, b[1] + b[3]))
    ),
    min_size=1,
    max_size=3,
)


@given(
    boxes_of_points,
    st.sampled_from([(1, 1), (2, 3), (4, 4), (6, 8)]),
    st.integers(1, 6),
    st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_figures_are_those_of_the_points(boxes, shape, levels, seed):
    map_ = np.random.default_rng(seed).integers(0, levels, shape).astype(np.float32) + 0.25
    fractions = np.array(boxes) / SIDE
    outline = (0, 0, shape[1], shape[0])
    cells = cover(fractions, outline, shape)
    assert cells.whole.sum() == pytest.approx(1)
    if not has_outside(cells):
        return
    expected = literal(map_, fractions, outline)
    found = score(map_, cells)
    assert (found.auroc, found.mass) == pytest.approx(expected)
    assert 0 <= found.pointing <= 1
    assert auroc(np.exp(map_ / 3), cells) == pytest.approx(found.auroc), "the order counts alone"


def test_of_a_padded_grid_the_picture_counts_alone():
    # a picture of 2:1 on a 4 x 4 grid: rows 1 and 2, here with the pieces of rows 0 and 3
    outline = (0.0, 0.5, 4.0, 2.5)
    map_ = np.arange(12, dtype=np.float32).reshape(3, 4) + 1
    boxes = np.array([[0, 0, 0.5, 1.0]])
    cells = cover(boxes, outline, (3, 4))
    np.testing.assert_allclose(cells.whole.sum(axis=1), [0.25, 0.5, 0.25])
    found = score(map_, cells)
    assert (found.auroc, found.mass) == pytest.approx(literal(map_, boxes, outline))
    assert found.pointing == 0
    beside = cover(boxes, (1.0, 0.0, 3.0, 3.0), (3, 4))  # cells of columns 0 and 3 show nothing
    assert pointing(np.array([[9, 0, 1, 9]] * 3, np.float32), beside) == 0
    assert mass(np.array([[9, 1, 1, 9]] * 3, np.float32), beside) == pytest.approx(0.5)


def test_pointing_counts_middles_and_shares_ties():
    boxes = np.array([[0.0, 0.0, 0.5, 0.5]])
    cells = cover(boxes, (0, 0, 4, 4), (4, 4))
    assert cells.hit.tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2
    m = np.zeros((4, 4), np.float32)
    m[1, 1] = m[3, 3] = m[0, 3] = 2
    assert pointing(m, cells) == pytest.approx(1 / 3)
    assert pointing(np.zeros_like(m), cells) == pytest.approx(4 / 16)
    between = cover(np.array([[0.2, 0.2, 0.24, 0.24]]), (0, 0, 4, 4), (4, 4))
    assert between.hit.sum() == 1, "a box that has no cell's middle can be hit"
    assert between.hit[0, 0]


def test_a_flat_map_tells_nothing():
    cells = cover(np.array([[0.1, 0.2, 0.4, 0.9]]), (0, 0, 5, 3), (3, 5))
    for m in (np.zeros((3, 5), np.float32), np.full((3, 5), 0.7, np.float32)):
        found = score(m, cells)
        assert found.auroc == 0.5
        assert found.mass == pytest.approx(0.3 * 0.7)
    with pytest.raises(ValueError, match=r"NaN or infinity; try --precision fp32$"):
        score(np.full((3, 5), np.nan, np.float32), cells)


def test_overlapping_boxes_count_once():
    cells = cover(np.array([[0, 0, 0.5, 1], [0.25, 0, 0.75, 1.0]]), (0, 0, 2, 1), (1, 2))
    np.testing.assert_allclose(cells.inside, [[0.5, 0.25]])


def test_clips_maps_count_where_relevant_is_large_and_their_mask_with_them():
    assert map_names(LLAVA) == ("attention_map",)
    assert map_names(CLIP) == ("cls_map", "patch_map", "mask")
    cells = cover(np.array([[0, 0, 0.5, 0.5]]), (0, 0, 4, 4), (4, 4))
    good = np.where(cells.hit, 3, -5).astype(np.float32) + np.arange(16).reshape(4, 4) / 100
    cls, patch, mask = scores_of(CLIP, np.stack([good, -good]).astype(np.float32), cells)
    assert cls.auroc == patch.auroc == 1
    assert mask.auroc > 0.9
    assert 0.9 < cls.mass <= 1, "its least value counts nothing"
    flat = scores_of(CLIP, np.zeros((2, 4, 4), np.float32), cells)
    assert [one.auroc for one in flat] == [0.5] * 3
    [attention] = scores_of(LLAVA, np.full((1, 4, 4), 0.1, np.float32), cells)
    assert attention.mass == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("value", "layout", "expected"),
    [
        ([10, 20, 30, 60], "xyxy", [[10, 20, 30, 60]]),
        ([10, 20, 30, 60], "xywh", [[10, 20, 40, 80]]),
        ([[1, 2, 3, 4], [0.5, 0, 9, 9]], "xyxy", [[1, 2, 3, 4], [0.5, 0, 9, 9]]),
        ("[1, 2, 3, 4]", "xyxy", [[1, 2, 3, 4]]),
        (json.dumps([[1, 2, 3, 4]]), "xywh", [[1, 2, 4, 6]]),
        (np.array([[1, 2, 3, 4]]), "xyxy", [[1, 2, 3, 4]]),
        ((1, 2, 3, 4), "xyxy", [[1, 2, 3, 4]]),
    ],
)
def test_boxes_come_in_many_ways(value, layout, expected):
    np.testing.assert_allclose(read_boxes(value, layout, "box"), expected)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "column 'box' has no box"),
        ([], "column 'box' has no box"),
        ([1, 2, 3], "expected [x0, y0, x1, y1], or a list of such; got [1, 2, 3]"),
        ([[1, 2, 3, 4], [1, 2]], "expected [x0, y0, x1, y1], or a list of such"),
        ("left", "got 'left'"),
        ([1, 2, True, 4], "expected [x0, y0, x1, y1]"),
        ([1, 2, float("nan"), 4], "expected [x0, y0, x1, y1]"),
        ({"x": 1}, "expected [x0, y0, x1, y1]"),
        ([30, 20, 10, 60], "the box [30, 20, 10, 60] is empty; is it of --box-format xywh?"),
    ],
)
def test_what_is_no_box_is_said(value, says):
    with pytest.raises(ValueError, match=r"^column 'box'") as error:
        read_boxes(value, "xyxy", "box")
    assert says in str(error.value)


def test_units_and_edges():
    size = (200, 100)

    def fractions(boxes, units="auto"):
        return to_fractions(np.array(boxes, dtype=float), units, size, "box").tolist()

    assert fractions([[20, 20, 100, 100]]) == [[0.1, 0.2, 0.5, 1]]
    assert fractions([[0.1, 0.2, 0.5, 1]]) == [[0.1, 0.2, 0.5, 1]]
    assert fractions([[0, 0, 1, 1]], "pixels") == [[0, 0, 0.005, 0.01]]
    assert fractions([[-50, 50, 300, 300], [500, 500, 600, 600]]) == [[0, 0.5, 1, 1]]
    with pytest.raises(ValueError, match=r"in pixels lies outside the picture of 200 x 100 pixels"):
        fractions([[500, 500, 600, 600]])
    assert not has_outside(cover(np.array([[0.0, 0, 1, 1]]), (0, 0, 3, 3), (3, 3)))


def test_the_column_is_the_one_that_is_named_or_a_usual_one():
    rows: list[dict[str, Any]] = [{"answer": 1}, {"bbox": [1], "boxes": [2], "mine": 3}]
    assert find_column(None, rows) == "boxes"
    assert find_column("mine", rows) == "mine"
    for named, known in (("theirs", rows), (None, rows[:1])):
        with pytest.raises(ValueError, match=r"there are: answer.*--box-column NAME$"):
            find_column(named, known)
