"""`warp`: relevant parts larger, nothing lost (AttWarp, arXiv 2510.09741).

Each axis is stretched by itself. The mask's marginal is taken for the density of a distribution;
a point of the picture goes where its cumulative distribution says, so that what holds a share of
the mask gets that share of the axis.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from api_cli.masking.renderings.scene import Rendered, Scene
from api_cli.masking.settings import MaskSettings

FLOOR = 0.5
"""The share of an axis that is dealt out evenly: nothing shrinks to less than this."""

_Numbers = NDArray[np.float64]


class Strips(NamedTuple):
    """An axis cut into strips, each of which is stretched by itself.

    Attributes:
        source: (n + 1,) where they begin in the image, in pixels, ascending from 0 to its length.
        target: (n + 1,) where they begin in the outcome, in whole pixels, from 0 to its length.
    """

    source: _Numbers
    target: NDArray[np.intp]

    def pairs(self) -> Iterator[tuple[float, float, int, int]]:
        """Of each strip where it begins and ends in the image, and in the outcome."""
        for (start, end), (first, last) in zip(
            pairwise(self.source.tolist()), pairwise(self.target.tolist()), strict=True
        ):
            yield start, end, first, last


def warp(scene: Scene, settings: MaskSettings) -> Rendered:
    """The image at its own size, stretched where the mask is bright."""
    values = scene.mask.values.astype(np.float64)
    (height, width), (left, top, right, bottom) = values.shape, scene.box
    down, across = _covered(height, top, bottom), _covered(width, left, right)
    columns = strips(down @ values, across, scene.image.width)
    rows = strips(values @ across, down, scene.image.height)
    return Rendered({"file_name": _stretched(scene.image, columns, rows)})


def _stretched(image: Image.Image, columns: Strips, rows: Strips) -> Image.Image:
    """An axis after the other, each strip by Pillow's bicubic filter."""
    (width, height), bicubic = image.size, Image.Resampling.BICUBIC
    wide = Image.new("RGB", image.size)
    for start, end, first, last in columns.pairs():
        strip = image.resize((last - first, height), bicubic, (start, 0, end, height))
        wide.paste(strip, (first, 0))
    warped = Image.new("RGB", image.size)
    for start, end, first, last in rows.pairs():
        strip = wide.resize((width, last - first), bicubic, (0, start, width, end))
        warped.paste(strip, (0, first))
    return warped


def strips(marginal: _Numbers, covered: _Numbers, length: int) -> Strips:
    """How an axis is to be stretched.

    Args:
        marginal: (n,) of the mask, at least 0.
        covered: (n,) which part of each cell the image covers, 0 to 1.
        length: of the image, in pixels.
    """
    mean = (marginal * covered).sum() / covered.sum()
    density = np.ones_like(marginal)
    if mean > 0:
        density = FLOOR + (1 - FLOOR) * marginal / mean
    source, exact = (_cumulated(part, length) for part in (covered, density * covered))
    # whole pixels; those with a cell's edge within are strips of their own, so that others are even
    target = np.unique(np.concatenate([np.floor(exact), np.ceil(exact)])).astype(np.intp)
    return Strips(np.interp(target, exact, source), target)


def _cumulated(parts: _Numbers, length: int) -> _Numbers:
    """Where each part ends on an axis that they share, from 0 to its length exactly."""
    ends = np.concatenate([[0.0], np.cumsum(parts)])
    cumulated: _Numbers = ends / ends[-1] * length
    return cumulated


def _covered(cells: int, start: float, end: float) -> _Numbers:
    """Which part of each cell lies between two points of a grid."""
    first = np.arange(cells)
    return (np.minimum(first + 1, end) - np.maximum(first, start)).clip(0, 1)
