"""The crop of ViCrop (arXiv 2502.17422): the best of square windows of several sizes.

Its program slides windows of 336 pixels, the model's own size, times each ratio over the picture.
Here they are relative to the picture, so that its size does not decide: 336 pixels are 0.4 of the
shorter side of what it was published on (TextVQA, about 1,024 x 800).
"""

from __future__ import annotations

import numpy as np

from api_cli.masking.renderings.scene import Rectangle, Scene
from api_cli.masking.steps import Array

SIDE = 0.4
"""Of the smallest window, as a share of the image's shorter side."""
RATIOS = (1, 1.2, 1.4, 1.6, 1.8, 2)


def best_window(scene: Scene) -> Rectangle:
    """The window whose patches, on average, stand out most from those of its neighbours.

    Of each size the window with the greatest sum of the mask is taken; it stands out by what it has
    more than the mean of the windows that lie a patch to its left, right, top and bottom, divided
    by its patches. Where a mask is stretched linearly, the window stays the same. Where none stands
    out, it is the whole image.
    """
    height, width = scene.mask.values.shape
    left, top, right, bottom = scene.box
    side = SIDE * min(scene.image.size)
    found, most = scene.whole, 0.0
    for ratio in RATIOS:
        rows = _patches(ratio * side * (bottom - top) / scene.image.height, height)
        columns = _patches(ratio * side * (right - left) / scene.image.width, width)
        sums = window_sums(scene.mask.values, rows, columns)
        y, x = np.unravel_index(sums.argmax(), sums.shape)
        beside = [(y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)]
        beside = [(i, j) for i, j in beside if 0 <= i < sums.shape[0] and 0 <= j < sums.shape[1]]
        if not beside:  # it fills the grid
            continue
        more = (sums[y, x] - np.mean([sums[at] for at in beside])) / (rows * columns)
        if more > most:
            found, most = scene.rectangle(int(x), int(y), int(x) + columns, int(y) + rows), more
    return found


def window_sums(values: Array, rows: int, columns: int) -> Array:
    """The sums of all windows of rows x columns: (h - rows + 1, w - columns + 1) of (h, w)."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (rows, columns))
    sums: Array = windows.sum(axis=(-2, -1), dtype=np.float64)
    return sums


def _patches(exact: float, most: int) -> int:
    return min(max(round(exact), 1), most)
