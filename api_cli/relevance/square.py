"""What every model with a square of patches does alike: image in, the image's part of maps out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image

from api_cli.errors import UsageError
from api_cli.masking import Array
from api_cli.relevance import Prepared
from api_cli.relevance.device import PRECISIONS
from api_cli.relevance.fit import FITS, GridPart, grid_part, resize_padded


@dataclass(frozen=True)
class Square:
    """One model's square under one fit (METHOD.md section 7).

    Args:
        fit: a name of `FITS`.
        grid: rows and columns of the patch grid.
        mean: of the model's normalisation, by channel, in [0, 1]; its colour pads.
        padded_fits: those under which the model sees the image padded to a square.
        size: width and height of what the model sees; of whole patches under "native".
        resample: Pillow's filter that brings a padded image to that size.
        patch: pixels of a patch's side, for "native".
    """

    fit: str
    grid: tuple[int, int]
    mean: Sequence[float]
    padded_fits: Sequence[str]
    size: tuple[int, int]
    resample: Image.Resampling = Image.Resampling.BICUBIC
    patch: int = 0

    def prepare(
        self,
        image: Image.Image,
        to_pixels: Callable[[Image.Image, tuple[int, int]], torch.Tensor],
    ) -> Prepared:
        """An RGB image as the model sees it.

        Args:
            image: of any size.
            to_pixels: the model's own resize, of an image that is not yet of that width and
                height, and normalisation: (3, H, W) float32.
        """
        part = grid_part(self.fit, image.size, self.grid)
        size = self.size
        if self.fit == "native":
            size = self.patch * part.columns[1], self.patch * part.rows[1]
        if self.fit in self.padded_fits:
            fill = tuple(int(255 * level) for level in self.mean)
            image = resize_padded(image, fill, self.size, self.resample)
        return Prepared(to_pixels(image, size), part)

    def cut(self, maps: Array, part: GridPart) -> Array:
        """The part of maps (..., N), patches in rows, that shows the image: (..., h, w)."""
        grid = (part.rows[1], part.columns[1]) if self.fit == "native" else self.grid
        grids = maps.reshape(*maps.shape[:-1], *grid)
        return grids[..., slice(*part.rows), slice(*part.columns)].copy()


def check_choices(fit: str, precision: str, *more_precisions: Literal["auto"]) -> None:
    """Raises UsageError for a fit or a precision that does not exist."""
    precisions = (*more_precisions, *PRECISIONS)
    if fit not in FITS or precision not in precisions:
        raise UsageError(f"fit {fit!r}, precision {precision!r}: expected {FITS} and {precisions}")
