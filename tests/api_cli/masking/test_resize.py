"""The mask's resize is Pillow's."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from api_cli.masking import FILTERS
from api_cli.masking.resize import resize


def maps(rng: np.random.Generator, height: int, width: int) -> list[np.ndarray]:
    """One of all levels, and one of the extremes alone, where filters overshoot."""
    levels = rng.integers(0, 256, (height, width), dtype=np.uint8)
    return [levels, np.where(levels > 127, 255, 0).astype(np.uint8)]


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("shape", [(24, 24), (7, 7), (16, 24), (2, 3), (1, 5), (1, 1)])
def test_every_filter_gives_pillows_levels(name, shape):
    rng = np.random.default_rng(0)
    sizes = [(24, 24), (25, 24), (24, 31), (200, 133), (133, 200), (5, 90), (90, 5), (1, 1), (3, 2)]
    for size in sizes:
        x0, y0, x1, y1 = rng.random(4) * 0.4 * np.array([*shape[::-1], *shape[::-1]])
        inner = (x0, y0, shape[1] - x1, shape[0] - y1)
        for box in ((0, 0, *shape[::-1]), inner):
            for levels in maps(rng, *shape):
                expected = Image.fromarray(levels).resize(size, FILTERS[name], box)
                far = np.abs(resize(levels, size, name, box).astype(int) - np.asarray(expected))
                assert far.max() <= (1 if name == "HAMMING" else 0), (size, box)
                assert (far > 0).mean() < 0.001


def test_a_photographs_mask_is_pillows_to_the_last_bit():
    for levels in maps(np.random.default_rng(1), 24, 24):
        for box in ((0.0, 0.0, 24.0, 24.0), (0.0, 3.0, 24.0, 21.0)):
            expected = Image.fromarray(levels).resize((1155, 866), FILTERS["LANCZOS"], box)
            assert (resize(levels, (1155, 866), "LANCZOS", box) == np.asarray(expected)).all()
