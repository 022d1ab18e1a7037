"""Pillow's resize of a small map to a large picture, as one small matrix product an axis.

The outcome is Pillow's (HAMMING's to one level in a few pixels), in less than half of its time: the
same weights in whole numbers, rows first, then columns, and between the two a rounding to 8 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FILTERS = {
    name: Image.Resampling[name]
    for name in ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
}

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in cells of a grid; need not be whole."""

Levels = NDArray[np.uint8]
_Weights = NDArray[np.float64]

_ONE = 2**22  # Pillow's weights are whole multiples of its inverse
_ROWS = 128  # of the outcome that are made at once, so that they stay in the processor's cache


def resize(levels: Levels, size: tuple[int, int], name: str, box: Box) -> Levels:
    """`Image.fromarray(levels).resize(size, FILTERS[name], box)`.

    Args:
        levels: (h, w) uint8.
        size: width and height of the outcome, (H, W).
        name: a key of `FILTERS`.
        box: the part of the map that is brought to that size, in cells.

    Returns:
        (H, W) uint8.
    """
    (height, width), (left, top, right, bottom) = levels.shape, box
    if size[0] < width or size[1] < height:
        # smaller than the map, where newer versions of Pillow may begin with the columns
        return np.asarray(Image.fromarray(levels).resize(size, FILTERS[name], box))
    if name == "NEAREST":
        columns = _nearest(width, left, right, size[0])
        return levels[_nearest(height, top, bottom, size[1])[:, None], columns]
    across = _weights(width, left, right, size[0], name)  # (W, w)
    down = _weights(height, top, bottom, size[1], name)  # (H, h)
    rows = _to_levels(levels @ across.T).astype(np.float64)  # (h, W)
    resized = np.empty(size[::-1], np.uint8)
    for start in range(0, size[1], _ROWS):
        part = slice(start, start + _ROWS)
        resized[part] = _to_levels(down[part] @ rows)
    return resized


def _to_levels(sums: NDArray[np.float64]) -> Levels:
    """Rounded to whole levels, halves upwards; filters that overshoot are cut off."""
    sums += 0.5
    return np.clip(sums, 0, 255, out=sums).astype(np.uint8)


@lru_cache(maxsize=64)
def _nearest(cells: int, start: float, end: float, length: int) -> NDArray[np.intp]:
    """The cell that each of `length` pixels shows."""
    step = (end - start) / length
    # summed up one by one as Pillow does, since the last bit decides at a cell's edge
    centres = np.cumsum(np.concatenate([[start + step / 2], np.full(length - 1, step)]))
    shown: NDArray[np.intp] = np.floor(centres).astype(np.intp).clip(0, cells - 1)
    return shown


@lru_cache(maxsize=64)
def _weights(cells: int, start: float, end: float, length: int, name: str) -> _Weights:
    """What each of `cells` cells adds to each of `length` pixels: (length, cells), rows of sum 1.

    A filter is as wide as a cell, or as a pixel where those are larger.
    """
    begin, stop = np.float32(start), np.float32(end)  # as Pillow keeps a box
    step = float(stop - begin) / length  # cells a pixel
    kernel = _KERNELS[name]
    width = max(step, 1.0)
    reach = kernel.reach * width
    centre = float(begin) + (np.arange(length) + 0.5) * step
    first = np.maximum(np.floor(centre - reach + 0.5), 0)
    last = np.minimum(np.floor(centre + reach + 0.5), cells)
    cell = np.arange(cells)
    weights = kernel.shape((cell - centre[:, None] + 0.5) / width)
    weights *= (cell >= first[:, None]) & (cell < last[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    whole: _Weights = np.trunc(weights * _ONE + np.copysign(0.5, weights))
    return whole / _ONE


class _Kernel(NamedTuple):
    """One of Pillow's filters.

    Attributes:
        reach: the distance from its centre, in cells, from which on it is 0.
        shape: its height over distances in cells.
    """

    reach: float
    shape: Callable[[_Weights], _Weights]


def _box(x: _Weights) -> _Weights:
    return np.where((x > -0.5) & (x <= 0.5), 1.0, 0.0)


def _bilinear(x: _Weights) -> _Weights:
    return np.where(np.abs(x) < 1, 1 - np.abs(x), 0)


def _hamming(x: _Weights) -> _Weights:
    window = 0.54 + 0.46 * np.cos(np.pi * x)
    return np.where(np.abs(x) < 1, np.sinc(x) * window, 0)


def _bicubic(x: _Weights, a: float = -0.5) -> _Weights:
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: _Weights) -> _Weights:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


_KERNELS = {
    "BOX": _Kernel(0.5, _box),
    "BILINEAR": _Kernel(1, _bilinear),
    "HAMMING": _Kernel(1, _hamming),
    "BICUBIC": _Kernel(2, _bicubic),
    "LANCZOS": _Kernel(3, _lanczos),
}
