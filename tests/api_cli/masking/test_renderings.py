"""Every rendering is what its description says, evaluated literally."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import skimage
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from api_cli.masking import Mask, MaskSettings
from api_cli.masking.renderings import RENDERINGS, Rendered, Scene
from api_cli.masking.renderings.blur import RADIUS
from api_cli.masking.renderings.crop import MARGIN
from api_cli.masking.renderings.outline import COLOUR, WIDTH
from api_cli.masking.renderings.warp import FLOOR
from api_cli.masking.renderings.window import RATIOS, SIDE
from tests.api_cli.masking import literal_renderings as literal

WHOLE = (0.0, 0.0, 7.0, 6.0)
PADDED = (0.0, 0.4, 7.0, 5.7)  # the ends of the outer rows show no image


@cache
def photograph(width: int, height: int) -> Image.Image:
    return Image.fromarray(skimage.data.astronaut()).resize((width, height))


def random_scene(size=(61, 47), box=WHOLE, seed=0, kept=True, name="LANCZOS") -> Scene:
    random = np.random.default_rng(seed)
    values = random.random((6, 7)).astype(np.float32)
    region = random.random((6, 7)) > 0.7 if kept else None
    return Scene(photograph(*size), Mask(values, False, region), box, name)


def draw(name: str, scene: Scene, grayscale: int = 0) -> Rendered:
    return RENDERINGS[name].draw(scene, MaskSettings(grayscale=grayscale, render=name))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(float)


@pytest.mark.parametrize("box", [WHOLE, PADDED])
@pytest.mark.parametrize("grayscale", [0, 200])
def test_fade_mixes_the_image_with_a_grey_level(box, grayscale):
    scene = random_scene(box=box)
    drawn = pixels(draw("fade", scene, grayscale).images["file_name"])
    grey = np.full_like(drawn, grayscale)
    expected = literal.mix(pixels(scene.image), grey, pixels(scene.levels))
    assert np.abs(drawn - expected).max() <= 1


@pytest.mark.parametrize("size", [(61, 47), (260, 190), (610, 400)])
def test_blur_mixes_the_image_with_a_gaussian_blur_of_it(size):
    scene = random_scene(size)
    drawn = pixels(draw("blur", scene).images["file_name"])
    out_of_focus = literal.blurred(pixels(scene.image), RADIUS * max(size))
    expected = literal.mix(pixels(scene.image), out_of_focus, pixels(scene.levels))
    far = np.abs(drawn - expected)  # Pillow's blur is that of three means, and other at edges
    assert far.mean() < 1
    assert (far > 4).mean() < 0.01
    assert far.max() <= 16


@pytest.mark.parametrize("box", [WHOLE, PADDED])
def test_black_shows_the_kept_patches_and_nothing_else(box):
    scene = random_scene(box=box)
    for grayscale in (0, 90):
        drawn = np.asarray(draw("black", scene, grayscale).images["file_name"])
        kept = literal.patches_at_size(scene.regions, scene.image.size, box)
        expected = np.where(kept[..., None], np.asarray(scene.image), grayscale)
        assert (drawn == expected).all()


@pytest.mark.parametrize("box", [WHOLE, PADDED])
@pytest.mark.parametrize("size", [(61, 47), (300, 20), (9, 260)])
def test_an_outline_goes_around_the_kept_patches_and_hides_none(box, size):
    scene = random_scene(size, box)
    drawn = np.asarray(draw("outline", scene).images["file_name"])
    kept = literal.patches_at_size(scene.regions, size, box)
    thick = max(1, round(WIDTH * max(size)))
    assert (drawn == literal.outlined(np.asarray(scene.image), kept, COLOUR, thick)).all()


@pytest.mark.parametrize("box", [WHOLE, PADDED])
def test_a_crop_is_the_smallest_rectangle_around_kept_patches_with_half_a_patch_more(box):
    values = np.zeros((6, 7), np.float32)
    kept = np.zeros((6, 7), bool)
    kept[2, 2] = kept[3, 4] = True
    scene = Scene(photograph(210, 180), Mask(values, False, kept), box)
    across, down = 210 / (box[2] - box[0]), 180 / (box[3] - box[1])
    edges = (2 - MARGIN, 2 - MARGIN, 5 + MARGIN, 4 + MARGIN)
    expected = [
        round((edge - start) * scale)
        for edge, start, scale in zip(edges, box[:2] * 2, (across, down) * 2, strict=True)
    ]
    images, facts = draw("crop", scene)
    assert facts == {"crop_box": expected}
    left, top, right, bottom = expected
    shape = (210, round(210 * (bottom - top) / (right - left)))
    part = scene.image.crop((left, top, right, bottom))
    assert images["file_name"].tobytes() == part.resize(shape, Image.Resampling.LANCZOS).tobytes()

    two, facts_of_two = draw("pair", scene)
    assert list(two) == ["file_name", "crop_file_name"]
    assert two["file_name"].tobytes() == scene.image.tobytes()
    assert two["crop_file_name"].tobytes() == images["file_name"].tobytes()
    assert facts_of_two == facts


@pytest.mark.parametrize("box", [WHOLE, PADDED])
@pytest.mark.parametrize("kept", [True, False])
def test_a_cutout_is_what_black_leaves_cropped_to_it(kept, box):
    scene = random_scene(box=box, kept=kept)
    [blackened] = draw("black", scene, 9).images.values()
    region = Mask(scene.mask.values, False, scene.regions)
    images, facts = draw("cutout", scene, 9)
    expected, where = draw("crop", Scene(blackened, region, box))
    assert facts == where
    assert images["file_name"].tobytes() == expected["file_name"].tobytes()


@pytest.mark.parametrize("box", [WHOLE, PADDED])
@pytest.mark.parametrize("size", [(61, 47), (47, 61), (300, 40), (40, 300)])
def test_without_keep_a_crop_is_the_window_that_stands_out_most(box, size):
    for seed in range(5):
        scene = random_scene(size, box, seed, kept=False)
        found = draw("crop", scene).facts["crop_box"]
        window = literal.best_window(scene.mask.values, size, box, SIDE, RATIOS)
        across, down = size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])
        left, top, right, bottom = window or (box[0], box[1], box[2], box[3])
        expected = [
            max(0, round((left - box[0]) * across)),
            max(0, round((top - box[1]) * down)),
            min(size[0], round((right - box[0]) * across)),
            min(size[1], round((bottom - box[1]) * down)),
        ]
        assert found == expected


def test_the_window_does_not_depend_on_a_masks_scale_or_floor():
    scene = random_scene(kept=False)
    mask = Mask(np.float32(0.5) + np.float32(0.25) * scene.mask.values, False)
    lifted = Scene(scene.image, mask, scene.box)
    assert draw("crop", lifted).facts == draw("crop", scene).facts


@pytest.mark.parametrize("box", [WHOLE, PADDED])
def test_warp_shows_what_the_inverse_cumulative_distribution_says(box):
    size = (240, 200)
    ramp = np.zeros((200, 240, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(240)[None], np.arange(200)[:, None]
    values = np.random.default_rng(3).random((6, 7)).astype(np.float32) ** 4
    scene = Scene(Image.fromarray(ramp), Mask(values, False), box)
    drawn = pixels(draw("warp", scene).images["file_name"])
    rows = [max(0.0, min(i + 1, box[3]) - max(i, box[1])) for i in range(6)]
    columns = [max(0.0, min(i + 1, box[2]) - max(i, box[0])) for i in range(7)]
    across = [sum(values[i, j] * rows[i] for i in range(6)) for j in range(7)]
    down = [sum(values[i, j] * columns[j] for j in range(7)) for i in range(6)]
    x = np.array(literal.warped_from(across, box[0], box[2], size[0], FLOOR))
    y = np.array(literal.warped_from(down, box[1], box[3], size[1], FLOOR))
    assert np.abs(drawn[..., 0] + 0.5 - x[None]).max() <= 1.5, "a pixel, and half a level"
    assert np.abs(drawn[..., 1] + 0.5 - y[:, None]).max() <= 1.5
    assert (np.diff(drawn[..., 0], axis=1) >= 0).all(), "nothing changes places"
    assert (np.diff(drawn[..., 1], axis=0) >= 0).all()


def test_a_mask_that_is_the_same_everywhere_warps_nothing():
    for box in (WHOLE, PADDED):
        even = Scene(photograph(61, 47), Mask(np.full((6, 7), 0.3, np.float32), False), box)
        assert draw("warp", even).images["file_name"].tobytes() == even.image.tobytes()


def test_heat_is_the_mask_in_colours_over_the_image_in_grey():
    scene = random_scene()
    drawn = pixels(draw("heat", scene).images["file_name"])
    expected = literal.heat(pixels(scene.image), pixels(scene.levels))
    assert np.abs(drawn - expected).max() <= 2


@st.composite
def scenes(draw_one, flat=False) -> Scene:
    height, width = draw_one(st.integers(1, 9)), draw_one(st.integers(1, 9))
    start, end = st.floats(0, 0.45), st.floats(0.55, 1)
    box = (
        draw_one(start),
        draw_one(start),
        width - 1 + draw_one(end),
        height - 1 + draw_one(end),
    )
    size = draw_one(
        st.tuples(st.integers(1, 40), st.integers(1, 40))
        | st.sampled_from([(1, 1), (700, 1), (1, 700), (300, 2)])
    )
    random = np.random.default_rng(draw_one(st.integers(0, 2**32 - 1)))
    levels = random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    values = np.ones((height, width), np.float32)
    kept = None
    if not flat:
        values = (random.random((height, width)) ** draw_one(st.integers(1, 30))).astype(np.float32)
        if draw_one(st.booleans()):
            kept = random.random((height, width)) > 0.6
            kept[random.integers(height), random.integers(width)] = True
            values = np.where(kept, values, np.float32(0))
    name = draw_one(st.sampled_from(["NEAREST", "BILINEAR", "LANCZOS"]))
    return Scene(Image.fromarray(levels), Mask(values, flat, kept), box, name)


@settings(max_examples=40, deadline=None)
@given(scene=scenes())
@pytest.mark.parametrize("name", RENDERINGS)
def test_whatever_the_picture_its_renderings_keep_their_bounds(name, scene):
    before = scene.image.tobytes()
    images, facts = draw(name, scene)
    assert scene.image.tobytes() == before, "others are made of the same picture"
    assert {image.mode for image in images.values()} == {"RGB"}
    if name not in ("crop", "pair", "cutout"):
        assert (list(images), facts) == (["file_name"], {})
        assert images["file_name"].size == scene.image.size
        return
    assert list(images) == ["file_name", *(["crop_file_name"] if name == "pair" else [])]
    left, top, right, bottom = facts["crop_box"]
    assert 0 <= left < right <= scene.image.width
    assert 0 <= top < bottom <= scene.image.height
    *_, part = images.values()
    assert max(part.size) == max(scene.image.size)
    exact = min(right - left, bottom - top) * max(part.size) / max(right - left, bottom - top)
    assert abs(min(part.size) - exact) <= 1, "a crop keeps its proportions"


@settings(max_examples=15, deadline=None)
@given(scene=scenes(flat=True))
@pytest.mark.parametrize("name", RENDERINGS)
def test_a_flat_mask_leaves_the_image_as_it_is(name, scene):
    images, facts = draw(name, scene)
    for image in images.values():
        assert image.size == scene.image.size
        assert image.tobytes() == scene.image.tobytes()
    assert facts in ({}, {"crop_box": [0, 0, *scene.image.size]})


@settings(max_examples=40, deadline=None)
@given(scene=scenes())
def test_warping_shrinks_nothing_below_its_floor_and_loses_nothing(scene):
    from api_cli.masking.renderings.warp import strips

    marginal = scene.mask.values.sum(axis=0, dtype=float)
    found = strips(marginal, np.ones(len(marginal)), 1000)
    assert (found.source[0], found.source[-1]) == (0, 1000)
    assert (found.target[0], found.target[-1]) == (0, 1000)
    shown, room = np.diff(found.source), np.diff(found.target)
    assert (shown >= 0).all()
    assert (room >= FLOOR * shown - 1e-6).all()
