"""Pictures with parts faded, blurred or darkened at random, as masks do, but asking nobody.

Where the parts lie depends on the random generator alone, never on the scene or a question, so that
what is lit says nothing about an answer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

LEVELS = (0, 0, 127, 128, 200, 255)  # greys that masks fade to; any other as often as one of them


class Fading(NamedTuple):
    """What becomes of the parts that a mask conceals.

    Attributes:
        grey: level of 255 that they fade to; None where they are blurred.
        sigma: of the blur, as a share of the picture's longer side.
        left: share of the picture that stays where the mask is 0.
    """

    grey: int | None
    sigma: float
    left: float


def draw_fading(rng: np.random.Generator) -> Fading:
    """Three in four fade to a grey, the others blur; half of them leave a little."""
    left = float(rng.uniform(0, 0.5)) if rng.random() < 0.5 else 0.0
    if rng.random() < 0.25:
        return Fading(None, float(rng.uniform(0.015, 0.06)), left)
    choice = int(rng.integers(len(LEVELS) + 1))
    grey = LEVELS[choice] if choice < len(LEVELS) else int(rng.integers(256))
    return Fading(grey, 0.0, left)


def draw_mask(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """A random mask, (side, side) in [0, 1], 1 keeps: patches as attention's are, or boxes."""
    if rng.random() < 0.65:
        cells = int(rng.integers(3, 13))
        field = rng.normal(size=(cells, cells)).astype(np.float32)
        steep, middle = rng.uniform(1, 6), rng.normal(-0.3, 0.6)
        coarse = 1 / (1 + np.exp(-steep * (field - middle)))
        mask = Image.fromarray(np.round(255 * coarse).astype(np.uint8))
        mask = mask.resize((side, side), Image.Resampling.BICUBIC)
    else:
        lit = rng.random() < 0.5
        level = np.full((side, side), 0 if lit else 255, np.uint8)
        for _ in range(int(rng.integers(1, 5))):
            w, h = (int(side * rng.uniform(0.15, 0.7)) for _ in range(2))
            x, y = (int(rng.uniform(-0.1, 1) * side) for _ in range(2))
            level[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = 255 if lit else 0
        mask = Image.fromarray(level)
        if rng.random() < 0.5:
            mask = mask.filter(ImageFilter.GaussianBlur(side * rng.uniform(0.01, 0.06)))
    return np.asarray(mask, dtype=np.float32) / 255


def conceal(
    picture: NDArray[np.uint8], mask: NDArray[np.float32], fading: Fading
) -> NDArray[np.uint8]:
    """The picture (h, w, 3) where the mask (h, w) in [0, 1] is 1, and faded where it is 0."""
    keep = (fading.left + (1 - fading.left) * mask)[..., None]
    if fading.grey is None:
        image = Image.fromarray(picture)
        radius = fading.sigma * max(image.size)
        under = np.asarray(image.filter(ImageFilter.GaussianBlur(radius))).astype(np.float32)
    else:
        under = np.full((1, 1, 3), fading.grey, np.float32)
    return np.round(keep * picture + (1 - keep) * under).clip(0, 255).astype(np.uint8)


def visible(mask: NDArray[np.float32], fading: Fading, grid: int) -> NDArray[np.float32]:
    """How well a (grid x grid) patch can be seen, flat, in [0, 1]: 0 is not at all."""
    side = mask.shape[0] // grid
    kept = mask.reshape(grid, side, grid, side).mean(axis=(1, 3)).ravel()
    kept = fading.left + (1 - fading.left) * kept
    if fading.grey is None:
        kept = np.maximum(kept, 1 - fading.sigma / 0.06)  # a light blur hides little
    seen: NDArray[np.float32] = ((kept - 0.05) * 3).clip(0, 1).astype(np.float32)
    return seen
