"""What renderings draw from, and what they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from api_cli.masking.mask import Mask
from api_cli.masking.render import resize_mask
from api_cli.masking.resize import Box
from api_cli.masking.settings import Keep
from api_cli.masking.steps import Region, brightest

Edges = NDArray[np.intp]

Rectangle = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the image; right and bottom are not counted."""


KEEP = Keep(0.4, 2)
"""Of a mask where nobody says `--keep`: as in CARVE's preset (20 to 60 %, 2 or 3 regions)."""


class Rendered(NamedTuple):
    """What is made of a sample in one setting.

    Attributes:
        images: RGB pictures by the manifest's column: `file_name`, `crop_file_name`.
        facts: what the manifest's row says of them beside, JSON-serialisable.
    """

    images: Mapping[str, Image.Image]
    facts: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Scene:
    """A picture and where on it the evidence lies; what is made of both is made once.

    Attributes:
        image: RGB, of any size; never changed.
        mask: on the patch grid (h, w).
        box: the part of the grid that the image covers, in cells.
        interpolate_method_name: a key of `FILTERS`, for the mask at the image's size.
    """

    image: Image.Image
    mask: Mask
    box: Box
    interpolate_method_name: str = "LANCZOS"

    @cached_property
    def levels(self) -> Image.Image:
        """The mask at the image's size, mode L (METHOD.md section 4)."""
        return resize_mask(
            self.mask.values, self.image.size, self.interpolate_method_name, self.box
        )

    @cached_property
    def regions(self) -> Region:
        """The patches that `--keep` keeps, (h, w), or else `KEEP`; all of a flat mask."""
        if self.mask.kept is not None:
            return self.mask.kept
        return brightest(self.mask.values, *KEEP)

    @cached_property
    def edges(self) -> tuple[Edges, Edges]:
        """Where rows (h + 1,) and columns (w + 1,) of the grid begin, in pixels of the image."""
        (height, width), (left, top, right, bottom) = self.mask.values.shape, self.box
        return (
            _edges(height, top, bottom, self.image.height),
            _edges(width, left, right, self.image.width),
        )

    def at_size(self, patches: Region) -> Image.Image:
        """Patches at the image's size, mode L: 255 where a pixel's centre lies in one of them."""
        rows, columns = (np.diff(edges) for edges in self.edges)
        levels = np.where(patches, np.uint8(255), np.uint8(0))
        return Image.fromarray(levels.repeat(rows, axis=0).repeat(columns, axis=1))

    def rectangle(self, left: float, top: float, right: float, bottom: float) -> Rectangle:
        """A rectangle of the grid, in cells, as whole pixels of the image, at least one."""
        x0, y0, x1, y1 = self.box
        across, down = self.image.width / (x1 - x0), self.image.height / (y1 - y0)
        columns = _within(self.image.width, (left - x0) * across, (right - x0) * across)
        rows = _within(self.image.height, (top - y0) * down, (bottom - y0) * down)
        return (columns[0], rows[0], columns[1], rows[1])

    @property
    def whole(self) -> Rectangle:
        """The image's own outline."""
        return (0, 0, *self.image.size)


def _edges(cells: int, start: float, end: float, length: int) -> Edges:
    """Where each cell begins and the last ends; a pixel is the cell's that its centre lies in."""
    exact = (np.arange(cells + 1) - start) * (length / (end - start))
    edges: Edges = np.ceil(exact - 0.5).astype(np.intp).clip(0, length)
    return edges


def _within(length: int, start: float, end: float) -> tuple[int, int]:
    first = min(max(round(start), 0), length - 1)
    return first, max(min(round(end), length), first + 1)
