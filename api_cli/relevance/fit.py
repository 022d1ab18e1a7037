"""Fit: how a rectangular image meets the model's square patch grid (METHOD.md section 7)."""

from __future__ import annotations

import math
from typing import NamedTuple

from PIL import Image

from api_cli.masking import Box

FITS = ("paper", "squash", "pad", "native")

_ROWS = 256  # of an image that are padded at once
_DISPLACED = 1.25  # how much longer one side of an image is where `paper` is said to displace


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
    rows, columns = native_grid(size, grid) if fit == "native" else grid
    return GridPart((0, rows), (0, columns), (0, 0, columns, rows))  # the mask is stretched over it


def native_grid(size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of square patches in an image's own proportions, and about as many.

    With N patches of a model's own grid: sqrt(N h / w) rows and sqrt(N w / h) columns, each
    rounded, at least 1 and at most N. So a square image keeps the grid of a model with a square
    one, and what rounding squashes is less than half a patch of either side.

    Args:
        size: width and height of the image.
        grid: the model's own.
    """
    (width, height), patches = size, math.prod(grid)
    rows = round(math.sqrt(patches * height / width))
    columns = round(math.sqrt(patches * width / height))
    return min(max(1, rows), max(1, patches)), min(max(1, columns), max(1, patches))


def is_displaced(fit: str, size: tuple[int, int], grid: tuple[int, int]) -> bool:
    """Whether a fit lays an image's mask elsewhere than where the model saw what it is about.

    `paper` does, the more the further an image of (width, height) is from the proportions of the
    grid; here from a quarter on. Not where pictures have grids of their own: (0, 0).
    """
    across, down = size[0] * grid[0], size[1] * grid[1]
    return fit == "paper" and max(across, down) > _DISPLACED * min(across, down)


def pad_to_square(image: Image.Image, fill: tuple[int, ...]) -> Image.Image:
    """Centre an RGB image on a square of its longer side, the rest in colour `fill`."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), fill)
    square.paste(image, _offset(image.size))
    return square


def resize_padded(
    image: Image.Image,
    fill: tuple[int, ...],
    size: tuple[int, int],
    resample: Image.Resampling = Image.Resampling.BICUBIC,
) -> Image.Image:
    """`pad_to_square(image, fill).resize(size, resample)`, without forming the square.

    Pillow resizes the rows first, then the columns, each to whole levels. So rows can be padded
    and resized a few at a time, and the outcome is the same to the last bit; a strip of 200 x
    16,000 takes megabytes instead of 768.

    Args:
        image: an RGB image.
        fill: colour of the padding.
        size: width and height of the outcome.
        resample: any of Pillow's filters but NEAREST, which does not go row by row.
    """
    side = max(image.size)
    left, top = _offset(image.size)
    narrow = Image.new("RGB", (size[0], side), fill)  # all of the square's rows, resized
    for y in range(0, image.height, _ROWS):
        rows = image.crop((0, y, image.width, min(y + _ROWS, image.height)))
        padded = Image.new("RGB", (side, rows.height), fill)
        padded.paste(rows, (left, 0))
        narrow.paste(padded.resize((size[0], rows.height), resample), (0, top + y))
    return narrow.resize(size, resample)


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
