"""How well a relevance map points at boxes. Pure NumPy.

A map is constant on each cell of its grid, as if stretched over the picture without a filter. So
every figure is one of the picture's points, exactly, and depends on no resolution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from api_cli.masking import Array
from api_cli.profiling.boxes import Cells


class Score(NamedTuple):
    """One map against one sample's boxes, each in [0, 1].

    Attributes:
        auroc: see `auroc`; 0.5 for a map that tells nothing.
        pointing: see `pointing`; by chance about the boxes' share of the picture.
        mass: see `mass`; by chance exactly that share.
    """

    auroc: float
    pointing: float
    mass: float


def score(map_: Array, cells: Cells) -> Score:
    """All three. Raises ValueError where the map holds NaN or infinity."""
    if not np.isfinite(map_).all():
        raise ValueError("the relevance map holds NaN or infinity; try --precision fp32")
    return Score(auroc(map_, cells), pointing(map_, cells), mass(map_, cells))


def auroc(map_: Array, cells: Cells) -> float:
    """P(map at a point in a box > map at a point outside) + P(the same) / 2.

    Both points are drawn uniformly from the picture, so that cells weigh by their area in and
    outside the boxes. It does not change under a monotone change of the map.

    Args:
        map_: (h, w), large where relevant.
        cells: of the same grid, with some area inside and some outside.
    """
    _, places = np.unique(map_, return_inverse=True)
    inside = np.bincount(places.ravel(), cells.inside.ravel())  # by value, ascending
    outside = np.bincount(places.ravel(), (cells.whole - cells.inside).clip(0).ravel())
    below = np.cumsum(outside) - outside
    return float((inside * (below + outside / 2)).sum() / (inside.sum() * outside.sum()))


def pointing(map_: Array, cells: Cells) -> float:
    """1 where the brightest cell counts as a hit; of several the share that does."""
    seen = np.where(cells.whole > 0, map_, -np.inf)
    return float(cells.hit[seen == seen.max()].mean())


def mass(map_: Array, cells: Cells) -> float:
    """The share of the map's sum that lies in the boxes; a cell's is spread evenly over it.

    Args:
        map_: (h, w) of 0 or more.
        cells: of the same grid.
    """
    amounts: NDArray[np.float64] = np.where(cells.whole > 0, map_, 0).astype(np.float64)
    total = amounts.sum()
    if total <= 0:
        return float(cells.inside.sum())
    shares = np.divide(
        cells.inside, cells.whole, out=np.zeros_like(cells.whole), where=cells.whole > 0
    )
    return float((amounts * shares).sum() / total)
