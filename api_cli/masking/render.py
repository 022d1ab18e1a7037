"""From a mask on the patch grid to a masked picture: METHOD.md section 4."""

from __future__ import annotations

import numpy as np
from PIL import Image

from api_cli.masking.mask import Mask
from api_cli.masking.resize import Box, resize
from api_cli.masking.settings import MaskSettings
from api_cli.masking.steps import Array

_SLOPE = 1 / 128  # of a level; the last bits of a mask are some ten-thousandths of one


def to_levels(values: Array) -> Array:
    """A mask (h, w) in [0, 1] in the 256 levels of METHOD.md section 4, as float32.

    Whole levels, except in the last `_SLOPE` of each, which rises to the next one. The last bit of
    a mask, which depends on how the model's arithmetic was batched, would else decide between two
    levels; and filters that overshoot make two out of one at the image's edges.
    """
    # a touch above: a plateau at 1, which is to be 255, lies on an edge as well
    exact = np.clip(255 * values.astype(np.float64) + 1e-4, 0, 255)
    whole = np.floor(exact)
    risen = np.clip((exact - whole - (1 - _SLOPE)) / _SLOPE, 0, 1)
    levels: Array = np.minimum(whole + risen, 255).astype(np.float32)
    return levels


def resize_mask(
    values: Array, size: tuple[int, int], interpolate_method_name: str, box: Box
) -> Image.Image:
    """Bring a mask to an image's size, in 8 bits (METHOD.md section 4).

    An axis after the other and cut off at 0 and 255 between, as Pillow resizes 8 bits, but rounded
    at the end alone, so that masks that differ by little come out within one level of each other.

    Args:
        values: (h, w) float32 in [0, 1].
        size: width and height of the image in pixels.
        interpolate_method_name: a key of `FILTERS`.
        box: the part of the grid that the image covers, in cells.
    """
    return Image.fromarray(resize(to_levels(values), size, interpolate_method_name, box))


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
