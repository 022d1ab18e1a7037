"""The small steps that published methods are made of: RECIPES.md section 2.

Each takes a map or a mask on the patch grid, (h, w) float32, and gives one of the same shape.
`mask.py` composes them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Region = NDArray[np.bool_]

LEAST = 1e-8
"""What a ratio's denominator is at least: CARVE's lambda; attention below it is none."""
_EQUAL = 1e-4  # of a mask: less than one of its 255 levels, more than a batch's last bits


def ratio(m: Array, general: Array) -> Array:
    """A(q) / max(A(g), LEAST): how much more the question looks somewhere (ViCrop, CARVE).

    Args:
        m: (h, w), 0 or more, under the question.
        general: likewise, under a general one.
    """
    return (m / np.maximum(general, LEAST)).astype(np.float32)


def difference(m: Array, general: Array) -> Array:
    """ReLU(A(q) - A(g)): where the question looks more (LASER); otherwise as `ratio`."""
    compared: Array = np.maximum(m - general, np.float32(0))
    return compared


def denoise(m: Array, factor: float) -> Array:
    """A patch above `factor` times the largest of its neighbours becomes their mean (VEA).

    Neighbours are the up to 8 patches around it, as they were before; at the grid's edge there are
    fewer. A 1 x 1 grid stays as it is.

    Args:
        m: (h, w), 0 or more.
        factor: 1 or more.
    """
    if m.size == 1:
        return m
    padded = np.pad(m, 1, constant_values=np.nan)  # (h + 2, w + 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(*m.shape, 9)
    neighbours = np.delete(windows, 4, axis=-1)  # (h, w, 8), NaN where there is none
    stands_out = m > np.float32(factor) * np.nanmax(neighbours, axis=-1)
    denoised: Array = np.where(stands_out, np.nanmean(neighbours, axis=-1), m)
    return denoised


def smooth(m: Array, kernel_size: int) -> Array:
    """k x k mean filter over a map (h, w), edges replicated; `kernel_size` k is odd."""
    padded = np.pad(m, kernel_size // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel_size, kernel_size))
    smoothed: Array = windows.mean(axis=(-2, -1), dtype=np.float32)
    return smoothed


def gaussian(m: Array, spread: float) -> Array:
    """Gaussian filter, edges replicated, whose sigma is `spread` shorter sides of the grid (VEA).

    Args:
        m: (h, w).
        spread: above 0.
    """
    height, width = m.shape
    sigma = spread * min(m.shape)
    smoothed: Array = (_gaussian(height, sigma) @ m @ _gaussian(width, sigma).T).astype(np.float32)
    return smoothed


def raise_floor(mask: Array, floor: float) -> Array:
    """floor + (1 - floor) mask: something of the picture is left everywhere (VEA)."""
    return np.float32(floor) + np.float32(1 - floor) * mask


def brightest(mask: Array, share: float, regions: int | None = None) -> Region:
    """The brightest share of patches, and of their connected regions the most relevant (CARVE).

    Patches that are as bright as the last of them, to 1e-4, are among them, but where that is as
    dark as the mask gets: those tell nothing. Regions are connected by edges, not corners; they
    are ranked by the sum of the mask over them.

    Args:
        mask: (h, w) in [0, 1].
        share: in (0, 1]; of patches, rounded up.
        regions: at most; None for all.

    Returns:
        (h, w) bool, at least one of them true.
    """
    if share >= 1 or mask.max() - mask.min() <= _EQUAL:
        kept = np.ones(mask.shape, np.bool_)
    else:
        last = np.sort(mask, axis=None)[-int(np.ceil(share * mask.size))]
        is_darkest = last <= mask.min() + _EQUAL
        kept = mask > last + _EQUAL if is_darkest else mask >= last - _EQUAL
    if regions is None:
        return kept
    found = sorted(_connected(kept), key=lambda region: -float(mask[region].sum()))
    most_relevant: Region = np.logical_or.reduce(found[:regions])
    return most_relevant


def _connected(kept: Region) -> list[Region]:
    """The regions of true patches that touch by edges, in reading order."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(kept), strict=True)}
    regions = []
    for start in sorted(left):
        if start not in left:
            continue
        region = np.zeros(kept.shape, np.bool_)
        reached = [start]
        left.discard(start)
        while reached:
            y, x = reached.pop()
            region[y, x] = True
            around = {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} & left
            left -= around
            reached.extend(around)
        regions.append(region)
    return regions


@lru_cache(maxsize=64)
def _gaussian(cells: int, sigma: float) -> NDArray[np.float64]:
    """What each of `cells` cells adds to each, beyond the ends as at the ends: (cells, cells)."""
    reach = int(np.ceil(4 * sigma))
    offsets = np.arange(-reach, reach + 1)
    heights = np.exp(-0.5 * (offsets / sigma) ** 2)
    rows = np.arange(cells)[:, None]
    weights = np.zeros((cells, cells))
    np.add.at(weights, (rows, (rows + offsets).clip(0, cells - 1)), heights / heights.sum())
    return weights
