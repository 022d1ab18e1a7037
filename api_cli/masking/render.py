"""From a mask on the patch grid to a masked picture: METHOD.md section 4."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from api_cli.masking.mask import Array, Mask
from api_cli.masking.resize import Box, resize


class MaskSettings(NamedTuple):
    """The parameters of METHOD.md section 5 that do not touch the model."""

    enhance_coe: float = 5
    kernel_size: int = 3
    interpolate_method_name: str = "LANCZOS"
    grayscale: int = 0


def resize_mask(
    values: Array, size: tuple[int, int], interpolate_method_name: str, box: Box
) -> Image.Image:
    """Bring a mask to an image's size, in 8 bits (METHOD.md section 4).

    Args:
        values: (h, w) float32 in [0, 1].
        size: width and height of the image in pixels.
        interpolate_method_name: a key of `FILTERS`.
        box: the part of the grid that the image covers, in cells.
    """
    # a touch above the floor: a plateau at 1 lies on the edge between 254 and 255, and would fall
    # to either side with the last bit of a batch's arithmetic
    m8 = np.floor(255 * values + np.float32(1e-4)).astype(np.uint8)
    return Image.fromarray(resize(m8, size, interpolate_method_name, box))


def blend(image: Image.Image, mask: Image.Image, grayscale: int) -> Image.Image:
    """Fade an RGB image to a grey level (0 to 255) where an L mask of its size is dark."""
    blended = Image.new("RGB", image.size, (grayscale,) * 3)
    blended.paste(image, mask=mask)
    return blended


def apply_mask(image: Image.Image, mask: Mask, settings: MaskSettings, box: Box) -> Image.Image:
    """The masked image: an RGB `image` seen through `mask`; itself where that is flat.

    See `resize_mask` for `box`.
    """
    if mask.flat:
        return image
    m8 = resize_mask(mask.values, image.size, settings.interpolate_method_name, box)
    return blend(image, m8, settings.grayscale)
