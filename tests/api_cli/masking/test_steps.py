"""RECIPES.md section 2: every step against a literal evaluation, and what holds for any map."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from api_cli.masking import (
    Keep,
    MaskSettings,
    brightest,
    clip_mask,
    denoise,
    difference,
    gaussian,
    llava_mask,
    minmax,
    raise_floor,
    ratio,
    smooth,
)
from tests import reference

FEW = settings(max_examples=40, deadline=None)
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 7))


def maps_of(low: float = 0, high: float = 1):
    """Maps (h, w) float32, 1 x 1 and flat ones among them."""
    values = st.floats(low, high, width=32, allow_subnormal=False)
    return SHAPES.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=values))


def attention(*shape: int, seed: int = 0) -> np.ndarray:
    m = np.random.default_rng(seed).random(shape, dtype=np.float32) ** 4
    return m / m.sum()


def neighbours(m: np.ndarray, y: int, x: int) -> list[float]:
    around = ((y + dy, x + dx) for dy, dx in product((-1, 0, 1), repeat=2) if (dy, dx) != (0, 0))
    rows, columns = m.shape
    return [float(m[i, j]) for i, j in around if 0 <= i < rows and 0 <= j < columns]


def test_a_ratio_is_that_of_two_maps_and_nowhere_infinite():
    q, g = attention(6, 5), attention(6, 5, seed=1)
    g[2, 3] = 0
    expected = [[q[y, x] / max(g[y, x], 1e-8) for x in range(5)] for y in range(6)]
    np.testing.assert_allclose(ratio(q, g), expected, rtol=1e-5)
    assert np.isfinite(ratio(q, g)).all()


def test_a_difference_is_what_the_question_has_more():
    q, g = attention(6, 5), attention(6, 5, seed=1)
    expected = [[max(q[y, x] - g[y, x], 0) for x in range(5)] for y in range(6)]
    np.testing.assert_allclose(difference(q, g), expected, rtol=1e-6)


@pytest.mark.parametrize("shape", [(6, 5), (1, 5), (2, 2), (1, 1)])
@pytest.mark.parametrize("factor", [1, 1.5, 10])
def test_a_patch_far_above_its_neighbours_becomes_their_mean(shape, factor):
    m = attention(*shape)
    m.flat[0] *= 1000  # a corner, which has fewer neighbours
    expected = m.astype(np.float64)
    for y, x in np.ndindex(shape):
        around = neighbours(m, y, x)
        if around and m[y, x] > factor * max(around):
            expected[y, x] = sum(around) / len(around)
    np.testing.assert_allclose(denoise(m, factor), expected, rtol=1e-5)
    if m.size > 1:
        assert denoise(m, factor).flat[0] < m.flat[0]


@pytest.mark.parametrize("shape", [(6, 9), (9, 4), (1, 5), (1, 1)])
@pytest.mark.parametrize("spread", [0.05, 0.5, 3])
def test_a_gaussian_is_a_weighted_mean_by_distance_in_shorter_sides(shape, spread):
    m = attention(*shape)
    sigma = spread * min(shape)
    expected = scipy.ndimage.gaussian_filter(m.astype(float), sigma, mode="nearest", truncate=4)
    np.testing.assert_allclose(gaussian(m, spread), expected, atol=2e-4 * m.max())
    reach = int(np.ceil(4 * sigma))
    weigh = [np.exp(-(d**2) / (2 * sigma**2)) for d in range(-reach, reach + 1)]
    rows, columns = shape
    total = 0.0
    for (i, a), (j, b) in product(enumerate(weigh, -reach), repeat=2):
        total += a * b * m[min(max(i, 0), rows - 1), min(max(j, 0), columns - 1)]
    assert gaussian(m, spread)[0, 0] == pytest.approx(total / sum(weigh) ** 2, rel=1e-4)


def test_a_floor_is_left_everywhere():
    mask = attention(4, 4)
    np.testing.assert_allclose(raise_floor(mask, 0.5), 0.5 + 0.5 * mask, rtol=1e-6)


def test_the_brightest_share_is_kept_and_of_its_regions_the_most_relevant():
    mask = np.array(
        [
            [0.9, 0.1, 0.1, 0.7],
            [0.1, 0.8, 0.1, 0.6],
            [0.1, 0.1, 0.1, 0.1],
            [0.5, 0.1, 0.0, 0.1],
        ],
        np.float32,
    )
    kept = brightest(mask, 5 / 16)
    assert {(int(y), int(x)) for y, x in np.argwhere(kept)} == {
        (0, 0), (1, 1), (0, 3), (1, 3), (3, 0),
    }  # fmt: skip
    # 0.7 + 0.6 is more than 0.9: corners do not connect
    assert np.argwhere(brightest(mask, 5 / 16, 1)).tolist() == [[0, 3], [1, 3]]
    assert brightest(mask, 5 / 16, 2).sum() == 3
    assert (brightest(mask, 5 / 16, 9) == kept).all()
    assert brightest(mask, 1).all()


def test_regions_are_those_of_an_independent_labelling():
    mask = np.random.default_rng(3).random((20, 24), dtype=np.float32)
    kept = brightest(mask, 0.4)
    labels, number = scipy.ndimage.label(kept)
    sums = scipy.ndimage.sum(mask, labels, range(1, number + 1))
    largest = np.argsort(-sums, kind="stable")[:3] + 1
    assert (brightest(mask, 0.4, 3) == np.isin(labels, largest)).all()


@FEW
@given(maps_of(), maps_of())
def test_steps_keep_their_bounds(m, other):
    general = np.resize(other, m.shape)
    for compared in (ratio(m, general), difference(m, general)):
        assert (compared >= 0).all()
        assert np.isfinite(compared).all()
    for made in (denoise(m, 1.5), gaussian(m, 0.5), smooth(m, 15)):
        assert made.shape == m.shape
        assert made.dtype == np.float32
        assert made.min() >= m.min() - 1e-5
        assert made.max() <= m.max() + 1e-5


@FEW
@given(maps_of(), st.floats(0, 1), st.floats(0.01, 1), st.one_of(st.none(), st.integers(1, 4)))
def test_a_floor_and_what_is_kept_are_monotone(m, floor, share, regions):
    raised = raise_floor(m, floor)
    assert (raised >= m - 1e-6).all()
    assert raised.min() >= floor - 1e-6
    kept = brightest(m, share, regions)
    assert kept.any()
    if not kept.all() and regions is None:
        assert m[kept].min() >= m[~kept].max(), "nothing darker is kept instead"
    if regions is not None:
        assert scipy.ndimage.label(kept)[1] <= regions
        assert (kept <= brightest(m, share)).all()
        assert kept.sum() <= brightest(m, share, regions + 1).sum()


SETTINGS = st.builds(
    MaskSettings,
    enhance_coe=st.sampled_from([None, 1, 5]),
    kernel_size=st.sampled_from([1, 3, 31]),
    relative=st.sampled_from(["none", "ratio", "difference"]),
    denoise=st.sampled_from([None, 10]),
    smooth=st.sampled_from([None, 0.1, 0.5, 4]),
    floor=st.sampled_from([0, 0.5, 1]),
    keep=st.sampled_from([None, Keep(0.4, 2), Keep(1)]),
)


@FEW
@given(maps_of(), SETTINGS)
def test_any_composition_gives_a_mask(m, chosen):
    general = m[::-1, ::-1].copy()
    mask = llava_mask(m[None], chosen, general[None])
    merged = clip_mask(np.stack([m, general]), chosen._replace(relative="none", denoise=None))
    for values, flat, kept in (mask, merged):
        assert values.shape == m.shape
        assert values.dtype == np.float32
        assert values.min() >= -1e-6
        assert values.max() <= 1 + 1e-5
        if flat:
            assert (values == 1).all()
        elif kept is not None:
            assert (values[~kept] == 0).all(), "nothing is left of what is not kept, floor or not"
        else:
            assert values.min() >= chosen.floor - 1e-6


@pytest.mark.parametrize("chosen", [MaskSettings(), MaskSettings(None, smooth=0.5, floor=0.5)])
@pytest.mark.parametrize("relative", ["none", "ratio", "difference"])
def test_a_map_that_is_flat_at_last_leaves_the_picture_and_says_so(chosen, relative):
    m = attention(5, 5).clip(1e-6)
    flat = m if relative != "none" else np.full((5, 5), 0.04, np.float32)
    mask = llava_mask(flat[None], chosen._replace(relative=relative), flat[None].copy())
    assert mask.flat
    assert (mask.values == 1).all()


def test_nan_is_refused_whichever_map_has_it():
    m, broken = attention(5, 5)[None], np.full((1, 5, 5), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN"):
        llava_mask(broken, MaskSettings(denoise=10))
    with pytest.raises(ValueError, match="NaN"):
        llava_mask(m, MaskSettings(relative="ratio"), broken)


def test_the_recipe_of_vea_is_its_steps_one_after_the_other():
    a = attention(12, 9)
    a[4, 4] = 1  # stands out
    m = a.astype(np.float64)
    m[4, 4] = np.mean(neighbours(a, 4, 4))
    m = (m - m.min()) / (m.max() - m.min())
    m = scipy.ndimage.gaussian_filter(m, 0.5 * 9, mode="nearest", truncate=4)
    m = (m - m.min()) / (m.max() - m.min())
    vea = MaskSettings(enhance_coe=None, denoise=10, smooth=0.5, floor=0.5)
    np.testing.assert_allclose(llava_mask(a[None], vea).values, 0.5 + 0.5 * m, atol=1e-4)


def test_the_recipe_of_carve_keeps_nothing_else():
    a, g = attention(12, 9), attention(12, 9, seed=1)
    carve = MaskSettings(relative="ratio", keep=Keep(0.4, 2))
    r = a.astype(float) / np.maximum(g, 1e-8)
    mask = reference.llava_mask(r, 5, 3)
    found = llava_mask(a[None], carve, g[None])
    kept = brightest(mask.astype(np.float32), 0.4, 2)
    assert found.kept is not None
    assert (found.kept == kept).all()
    np.testing.assert_allclose(found.values, np.where(kept, mask, 0), atol=1e-4)


def test_steps_of_the_default_are_none():
    a = attention(12, 9)
    expected = smooth(1 / (1 + np.exp(-5 * _standard(minmax(a)))), 3)
    np.testing.assert_allclose(llava_mask(a[None], MaskSettings()).values, expected, atol=1e-6)


def _standard(m: np.ndarray) -> np.ndarray:
    return (m - m.mean()) / m.std(ddof=1)
