"""Relevance maps as pictures, for people who want to look."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from api_cli.masking.mask import minmax
from api_cli.masking.render import resize_mask
from api_cli.masking.resize import Box
from api_cli.masking.steps import Array

_COLD, _WARM, _HOT = (20, 20, 90), (220, 60, 40), (255, 240, 120)


def overlay(image: Image.Image, m: Array, box: Box) -> Image.Image:
    """An RGB image under a translucent heat map, dark blue through red to yellow.

    Args:
        image: the picture.
        m: (h, w) float32, any scale; large is hot.
        box: the part of the grid that the image covers, in cells.
    """
    scaled = np.zeros_like(m) if m.max() == m.min() else minmax(m)
    return colour(image, resize_mask(scaled, image.size, "BICUBIC", box))


def colour(image: Image.Image, levels: Image.Image) -> Image.Image:
    """An RGB image under the heat map of levels of its size, mode L; 255 is hot."""
    heat = ImageOps.colorize(levels, _COLD, _HOT, mid=_WARM)
    return Image.blend(ImageOps.grayscale(image).convert("RGB"), heat, 0.55)
