"""Fit: how a rectangular image meets the model's square patch grid (METHOD.md section 7)."""

from __future__ import annotations

import math
from typing import NamedTuple

from PIL import Image

from api_cli.masking import Box

FITS = ("paper", "squash", "pad")


class GridPart(NamedTuple):
    """The part of a patch grid that shows the image.

    Attributes:
        rows: first and one-past-last row with a piece of the image in it.
        columns: likewise.
        box: the image's outline within those rows and columns, in cells, not rounded.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    box: Box


def grid_part(fit: str, size: tuple[int, int], grid: tuple[int, int]) -> GridPart:
    """Which part of a grid of (rows, columns) shows an image of (width, height) under a fit."""
    if fit == "pad":
        return part_of_padded(size, grid)
    rows, columns = grid  # the mask is stretched over the image
    return GridPart((0, rows), (0, columns), (0, 0, columns, rows))


def pad_to_square(image: Image.Image, fill: tuple[int, ...]) -> Image.Image:
    """Centre an RGB image on a square of its longer side, the rest in colour `fill`."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), fill)
    square.paste(image, _offset(image.size))
    return square


def part_of_padded(size: tuple[int, int], grid: tuple[int, int]) -> GridPart:
    """Where an image of (width, height) lies on the grid after `pad_to_square`."""
    (width, height), side = size, max(size)
    left, top = _offset(size)
    columns, x0, x1 = _span(left, width, side, grid[1])
    rows, y0, y1 = _span(top, height, side, grid[0])
    return GridPart(rows, columns, (x0, y0, x1, y1))


def _offset(size: tuple[int, int]) -> tuple[int, int]:
    side = max(size)
    return (side - size[0]) // 2, (side - size[1]) // 2


def _span(start: int, length: int, side: int, cells: int) -> tuple[tuple[int, int], float, float]:
    """Cells touched by `length` pixels from `start` of `side`, and the ends within them."""
    begin, end = start * cells / side, (start + length) * cells / side
    first, last = math.floor(begin), math.ceil(end)
    return (first, last), begin - first, end - first
