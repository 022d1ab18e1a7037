"""Whatever the fit, a rendering shows a patch where the picture has it, within a pixel."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw

from api_cli.masking import Mask, MaskSettings
from api_cli.masking.renderings import RENDERINGS, Scene
from api_cli.masking.renderings.crop import MARGIN
from api_cli.masking.renderings.outline import COLOUR, WIDTH
from api_cli.masking.renderings.warp import FLOOR
from api_cli.relevance.fit import grid_part

SIZES = [(127, 65), (65, 127), (333, 100), (31, 31), (301, 27)]
GRIDS = {"paper": (7, 7), "squash": (12, 12), "pad": (24, 24), "tiles": (9, 16)}


class Lit(NamedTuple):
    """A scene with one patch lit, and where in the picture that is: left, top, right, bottom."""

    scene: Scene
    place: tuple[float, float, float, float]
    patch: tuple[float, float]  # its width and height in pixels

    def draw(self, name: str) -> Image.Image:
        *_, image = RENDERINGS[name].draw(self.scene, MaskSettings(render=name)).images.values()
        return image


def lit(fit: str, size: tuple[int, int], at: tuple[float, float]) -> Lit:
    """A white picture; the patch in it at that share of its width and height."""
    (width, height), (rows, columns) = size, GRIDS[fit]
    if fit == "pad":  # onto a square of the longer side
        side = max(size)
        x0, y0 = (side - width) // 2, (side - height) // 2
        across, down = side / columns, side / rows
    else:
        x0, y0, across, down = 0, 0, width / columns, height / rows
    column, row = int((x0 + at[0] * width) / across), int((y0 + at[1] * height) / down)
    part = grid_part("squash" if fit == "tiles" else fit, size, (rows, columns))
    values = np.zeros((rows, columns), np.float32)
    values[row, column] = 1
    values = values[slice(*part.rows), slice(*part.columns)]
    assert values.sum() == 1
    mask = Mask(values, False, values > 0)
    place = (
        max(column * across - x0, 0),
        max(row * down - y0, 0),
        min((column + 1) * across - x0, width),
        min((row + 1) * down - y0, height),
    )
    scene = Scene(Image.new("RGB", size, "white"), mask, part.box, "NEAREST")
    return Lit(scene, place, (across, down))


def extent(where: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(where)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


every_fit = pytest.mark.parametrize("fit", GRIDS)
every_size = pytest.mark.parametrize("size", SIZES)
every_place = pytest.mark.parametrize("at", [(0.5, 0.5), (0.31, 0.72), (0.03, 0.96)])


@every_fit
@every_size
@every_place
def test_a_lit_patch_lands_on_its_place(fit, size, at):
    there = lit(fit, size, at)
    for name in ("fade", "black"):
        shown = np.asarray(there.draw(name))[..., 0] == 255
        assert np.abs(np.subtract(extent(shown), there.place)).max() <= 1, name
    hot = np.asarray(there.draw("heat"))[..., 0]
    assert np.abs(np.subtract(extent(hot == hot.max()), there.place)).max() <= 1

    thick = max(1, round(WIDTH * max(size)))
    line = extent((np.asarray(there.draw("outline")) == COLOUR).all(axis=-1))
    around = np.clip(np.add(there.place, (-thick, -thick, thick, thick)), 0, (*size, *size))
    assert np.abs(np.subtract(line, around)).max() <= 1

    box = RENDERINGS["crop"].draw(there.scene, MaskSettings()).facts["crop_box"]
    across, down = (MARGIN * side for side in there.patch)
    left, top, right, bottom = there.place
    # of a patch that the picture's edge cuts off, the margin is counted from the patch's own
    wide = np.clip((left - across, top - down, right + across, bottom + down), 0, (*size, *size))
    inner = [a > 0 and b < side for a, b, side in ((left, right, size[0]), (top, bottom, size[1]))]
    for axis, whole in enumerate(inner):
        if whole:
            assert np.abs(np.subtract(box[axis::2], wide[axis::2])).max() <= 1
    assert box[0] - 1 <= left
    assert box[1] - 1 <= top
    assert box[2] + 1 >= right
    assert box[3] + 1 >= bottom


def is_whole(fit, size):
    """Whether a filter around the middle patch ends within the picture."""
    there = lit(fit, size, (0.5, 0.5))
    return min(there.patch) >= 1 and min(there.scene.mask.values.shape) >= 7


@pytest.mark.parametrize(
    ("fit", "size"), [case for case in product(GRIDS, SIZES) if is_whole(*case)]
)
def test_smooth_filters_keep_a_patch_centred(fit, size):
    there = lit(fit, size, (0.5, 0.5))
    scene = Scene(there.scene.image, there.scene.mask, there.scene.box, "LANCZOS")
    levels = np.asarray(scene.levels, float)
    weights = levels / levels.sum()
    centre = (
        (weights.sum(axis=0) * (np.arange(size[0]) + 0.5)).sum(),
        (weights.sum(axis=1) * (np.arange(size[1]) + 0.5)).sum(),
    )
    left, top, right, bottom = there.place
    assert np.abs(np.subtract(centre, ((left + right) / 2, (top + bottom) / 2))).max() <= 1


@every_fit
@every_size
@every_place
def test_a_warped_patch_takes_its_share_of_the_axis(fit, size, at):
    there = lit(fit, size, at)
    for axis, length in enumerate(size):  # one after the other: each stretches by itself
        start, end = there.place[axis::2]
        if end - start < 2:
            continue
        bar = [0, 0, *size]
        bar[axis], bar[axis + 2] = round(start), round(end) - 1
        picture = Image.new("RGB", size)
        ImageDraw.Draw(picture).rectangle(bar, fill="white")
        scene = Scene(picture, there.scene.mask, there.scene.box)
        warped = RENDERINGS["warp"].draw(scene, MaskSettings()).images["file_name"]
        bright = extent(np.asarray(warped)[..., 0] >= 128)
        room = (1 - FLOOR) * length / (end - start) + FLOOR  # times as wide as before
        slip = (abs(round(start) - start), abs(round(end) - end))  # of what was painted
        expected = (FLOOR * start, length - FLOOR * (length - end))
        for found, exact, rounded in zip(bright[axis::2], expected, slip, strict=True):
            assert abs(found - exact) <= 1 + room * rounded
