"""Views: where in a picture its image tokens lie, and how tokens of several views make one map.

Vision-language models see a picture as one grid, as a thumbnail and tiles of it, or as a grid that
stands out beyond its edges. A `View` says so in fractions of the picture, so that all of that is
one map of the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from api_cli.masking import Array, Box

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
_EMPTY = 1e-9  # share of a cell that rounding alone may cover


class View(NamedTuple):
    """A grid of image tokens that shows the picture or a part of it.

    Attributes:
        tokens: (h, w) ints, each an index among the sample's image tokens.
        box: left, top, right and bottom of the grid in fractions of the picture; may stick out.
    """

    tokens: npt.NDArray[np.int64]
    box: Box


def whole_grid(height: int, width: int, first: int = 0) -> View:
    """Tokens in rows from the `first` on, over exactly the whole picture."""
    return View(np.arange(first, first + height * width).reshape(height, width), WHOLE)


def map_size(views: Sequence[View]) -> tuple[int, int]:
    """Height and width of the views' map: cells of the finest view over the whole picture."""
    sizes = [
        (view.tokens.shape[0] / (y1 - y0), view.tokens.shape[1] / (x1 - x0))
        for view in views
        for x0, y0, x1, y1 in [view.box]
    ]
    height, width = max(sizes, key=lambda size: size[0] * size[1])
    return max(1, round(height)), max(1, round(width))


def one_map(mass: Array, views: Sequence[View]) -> Array:
    """One map of the whole picture; where tokens share a place, the mean of what they have.

    Every token spreads what it has over its cell, and each cell of the map is divided by what it
    would have if every token had 1: flat attention gives a flat map, whatever the tiling.

    Args:
        mass: (..., N), of N image tokens.
        views: of the picture, one or more.

    Returns:
        (..., h, w) float32; 0 where no view reaches.
    """
    size = map_size(views)
    summed, cover = _spread(mass, views, size), _spread(np.ones(mass.shape[-1]), views, size)
    covered = cover > _EMPTY
    return np.where(covered, summed / np.where(covered, cover, 1), 0).astype(np.float32)


def _spread(
    mass: npt.NDArray[np.floating], views: Sequence[View], size: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Sum of the views' tokens over a map of that size, (..., h, w), each spread over its cell."""
    spread = np.zeros((*mass.shape[:-1], *size))
    for tokens, (x0, y0, x1, y1) in views:
        rows = _overlap(size[0], tokens.shape[0], y0, y1)
        columns = _overlap(size[1], tokens.shape[1], x0, x1)
        spread += rows @ mass[..., tokens].astype(np.float64) @ columns.T
    return spread


def _overlap(target: int, source: int, start: float, end: float) -> npt.NDArray[np.float64]:
    """Which share of each source cell, between start and end, lies in each target cell of [0, 1].

    Returns:
        (target, source), columns of sum 1 where the source cell lies within [0, 1].
    """
    ours = np.linspace(0, 1, target + 1)[:, None]
    theirs = np.linspace(start, end, source + 1)[None]
    low = np.maximum(ours[:-1], theirs[:, :-1])
    high = np.minimum(ours[1:], theirs[:, 1:])
    share: npt.NDArray[np.float64] = np.clip(high - low, 0, None) * source / (end - start)
    return share
