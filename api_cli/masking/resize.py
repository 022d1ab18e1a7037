"""Pillow's resize of a small map to a large picture, as one small matrix product an axis.

The same weights, rows first, then columns, cut off at 0 and 255 between the two as Pillow cuts off
8 bits, but rounded at the end alone: within one level of Pillow's, in less than half of its time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from api_cli.masking.steps import Array

FILTERS = {
    name: Image.Resampling[name]
    for name in ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
}

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in cells of a grid; need not be whole."""

Levels = NDArray[np.uint8]
_Weights = NDArray[np.float64]

_ONE = 2**22  # Pillow's weights are whole multiples of its inverse
_TILE_ROWS = 12
_TILES = 12  # in one call: what they give stays in a core's cache
_WORK = 2**18  # multiplications of a tile: with more, BLAS wakes threads that wait for each other


def resize(levels: Array, size: tuple[int, int], name: str, box: Box) -> Levels:
    """`Image.fromarray(levels).resize(size, FILTERS[name], box)` in 8 bits, to one level.

    Args:
        levels: (h, w) float32 in [0, 255].
        size: width and height of the outcome, (H, W).
        name: a key of `FILTERS`.
        box: the part of the map that is brought to that size, in cells.

    Returns:
        (H, W) uint8.
    """
    (height, width), (left, top, right, bottom) = levels.shape, box
    if size[0] < width or size[1] < height:
        # smaller than the map, where newer versions of Pillow may begin with the columns
        whole = Image.fromarray(np.rint(levels).astype(np.uint8))
        return np.asarray(whole.resize(size, FILTERS[name], box))
    if name == "NEAREST":
        rows = _nearest(height, top, bottom, size[1])[:, None]
        return np.rint(levels).astype(np.uint8)[rows, _nearest(width, left, right, size[0])]
    wide = np.empty((size[0], height), np.float32)  # (W, h)
    _bring(levels.T, _tiles(width, left, right, size[0], name), wide)
    resized = np.empty(size[::-1], np.uint8)
    down = _tiles(height, top, bottom, size[1], name)
    # rounded to whole levels, halves upwards
    _bring(np.ascontiguousarray(wide.T), down, resized, raised=0.5)
    return resized


class _Tiles(NamedTuple):
    """`_weights` by tiles of T rows, and of each the K columns that hold all but zeros.

    Attributes:
        weights: (n, T, K) float32; after the last row, the last tile repeats it.
        first: (n,) the first of each tile's columns.
    """

    weights: NDArray[np.float32]
    first: NDArray[np.intp]


def _bring(cells: Array, tiles: _Tiles, out: NDArray[Any], raised: float = 0) -> None:
    """A map's first axis to pixels: `_weights` @ cells + raised, cut off at 0 and 255.

    In few calls, each of several tiles: between any two of them, threads wait for each other.

    Args:
        cells: (h, n).
        tiles: of h cells and H pixels.
        out: (H, n), where the outcome goes.
    """
    width = out.shape[1]
    _, rows, inner = tiles.weights.shape
    windows = sliding_window_view(cells, inner, axis=0).swapaxes(1, 2)  # (h - K + 1, K, n)
    across = min(width, max(1, _WORK // (rows * inner)))
    room = np.empty((_TILES, rows, across), np.float32)
    for x in range(0, width, across):
        columns = slice(x, x + across)
        for i in range(0, len(tiles.first), _TILES):
            first = tiles.first[i : i + _TILES]
            sums = room[: len(first), :, : width - x]
            np.matmul(tiles.weights[i : i + _TILES], windows[first, :, columns], out=sums)
            sums += np.float32(raised)
            np.clip(sums, 0, 255, out=sums)
            whole = out[i * rows : (i + _TILES) * rows, columns]
            whole[:] = sums.reshape(-1, sums.shape[-1])[: len(whole)]


@lru_cache(maxsize=64)
def _nearest(cells: int, start: float, end: float, length: int) -> NDArray[np.intp]:
    """The cell that each of `length` pixels shows."""
    step = (end - start) / length
    # summed up one by one as Pillow does, since the last bit decides at a cell's edge
    centres = np.cumsum(np.concatenate([[start + step / 2], np.full(length - 1, step)]))
    shown: NDArray[np.intp] = np.floor(centres).astype(np.intp).clip(0, cells - 1)
    return shown


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


@lru_cache(maxsize=64)
def _tiles(cells: int, start: float, end: float, length: int, name: str) -> _Tiles:
    """The weights of `_weights`, cut into tiles."""
    weights = _weights(cells, start, end, length, name)
    weights = np.pad(weights, ((0, -length % _TILE_ROWS), (0, 0)), mode="edge")
    weights = weights.reshape(-1, _TILE_ROWS, cells)
    used = (weights != 0).max(axis=1)  # (n, h)
    first = used.argmax(axis=1)
    beyond = cells - used[:, ::-1].argmax(axis=1)
    inner = int((beyond - first).max())
    first = np.minimum(first, cells - inner)
    columns = (first[:, None] + np.arange(inner))[:, None]  # (n, 1, K)
    return _Tiles(np.take_along_axis(weights, columns, axis=-1).astype(np.float32), first)


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
