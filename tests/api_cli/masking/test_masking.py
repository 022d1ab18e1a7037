"""METHOD.md sections 3 and 4, where pictures alone would not show a mistake."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from api_cli.masking import (
    FILTERS,
    MaskSettings,
    apply_mask,
    clip_mask,
    llava_mask,
    resize_mask,
    smooth,
)
from tests import reference


def random_maps(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("shape", [(24, 24), (7, 7), (16, 24), (2, 3), (1, 5)])
@pytest.mark.parametrize(("coe", "k"), [(1, 1), (5, 3), (10, 7), (2.5, 15)])
def test_clip_masks_are_those_of_the_equations(shape, coe, k):
    maps = random_maps(2, *shape) * np.float32(1e-4) + 3
    mask = clip_mask(maps, MaskSettings(coe, k))
    cls_map, patch_map = maps.astype(np.float64)
    expected = reference.clip_mask(cls_map, patch_map, coe, k)
    assert not mask.flat
    np.testing.assert_allclose(mask.values, expected, atol=1e-4)


def test_llava_masks_are_those_of_the_equations():
    maps = random_maps(1, 24, 24)
    a = maps[0].astype(np.float64)
    a = (a - a.min()) / (a.max() - a.min())
    expected = reference.smooth(1 / (1 + np.exp(-5 * (a - a.mean()) / a.std(ddof=1))), 3)
    np.testing.assert_allclose(llava_mask(maps, MaskSettings(5, 3)).values, expected, atol=1e-5)


@pytest.mark.parametrize("make", [clip_mask, llava_mask])
@pytest.mark.parametrize("maps", [np.ones((2, 7, 7), np.float32), random_maps(2, 1, 1)])
def test_a_flat_map_leaves_the_image_unchanged_and_says_so(make, maps):
    maps = maps[:1] if make is llava_mask else maps
    mask = make(maps, MaskSettings(5, 3))
    assert mask.flat
    assert (mask.values == 1).all()
    image = Image.effect_noise((40, 30), 50).convert("RGB")
    masked = apply_mask(image, mask, MaskSettings(), (0, 0, 1, 1))
    assert masked.tobytes() == image.tobytes()


def test_one_flat_map_of_two_is_enough():
    maps = random_maps(2, 7, 7)
    maps[1] = 3
    assert clip_mask(maps, MaskSettings(5, 3)).flat


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_nan_never_becomes_a_mask(bad):
    maps = random_maps(2, 7, 7)
    maps[1, 2, 3] = bad
    with pytest.raises(ValueError, match="NaN or infinity; try --precision fp32"):
        clip_mask(maps, MaskSettings(5, 3))


def test_smoothing_replicates_edges():
    m = np.zeros((4, 4), np.float32)
    m[0, 0] = 9
    assert smooth(m, 3)[0, 0] == 4, "the corner counts four times"
    assert smooth(m, 3)[1, 1] == 1
    assert smooth(m, 3)[2, 2] == 0


def test_the_mask_is_resized_from_within_the_images_outline():
    values = np.array([[0, 1, 1, 0]], np.float32)
    m8 = np.asarray(resize_mask(values, (100, 10), "NEAREST", (0.5, 0, 3.5, 1)))
    assert (m8[:, :16] == 0).all(), "half a cell of three is shown at either end"
    assert (m8[:, 17:83] == 255).all()
    assert (m8[:, 84:] == 0).all()


@pytest.mark.parametrize("name", list(FILTERS))
def test_masks_that_differ_by_their_last_bits_come_out_within_one_level(name):
    random = np.random.default_rng(0)
    for grid in ((12, 12), (7, 16), (24, 24)):
        height, width = grid
        for size in ((48, 48), (200, 75), (33, 150)):
            # every cell on the edge between two levels: the worst there is
            values = random.integers(0, 256, grid).astype(np.float32) / 255 - np.float32(4e-7)
            shaken = values + random.uniform(-1e-6, 1e-6, grid).astype(np.float32)
            box = (0.0, 0.0, width, height)
            one, two = (
                np.asarray(resize_mask(np.clip(v, 0, 1), size, name, box)).astype(int)
                for v in (values, shaken)
            )
            assert np.abs(one - two).max() <= 1


@pytest.mark.parametrize("name", list(FILTERS))
def test_a_resized_mask_is_within_one_level_of_pillows_in_eight_bits(name):
    random = np.random.default_rng(1)
    near, all_of_them = 0, 0
    for size in ((48, 48), (300, 212), (131, 240)):
        for _ in range(20):
            values = smooth(random.integers(0, 2, (12, 12)).astype(np.float32), 3)
            m8 = Image.fromarray(np.floor(255 * values + 1e-4).astype(np.uint8))
            expected = np.asarray(m8.resize(size, FILTERS[name])).astype(int)
            ours = np.asarray(resize_mask(values, size, name, (0, 0, 12, 12)))
            near += int((np.abs(ours - expected) <= 1).sum())
            all_of_them += ours.size
    assert near >= 0.999 * all_of_them
