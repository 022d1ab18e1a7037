"""METHOD.md section 7: where on the grid an image lies."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.fit import grid_part, pad_to_square


def test_a_whole_grid_is_the_image():
    for fit in ("paper", "squash"):
        assert grid_part(fit, (50, 20), (7, 9)) == ((0, 7), (0, 9), (0, 0, 9, 7))


@pytest.mark.parametrize(
    ("size", "rows", "columns", "box"),
    [
        ((100, 100), (0, 10), (0, 10), (0, 0, 10, 10)),
        ((100, 50), (2, 8), (0, 10), (0, 0.5, 10, 5.5)),
        ((40, 100), (0, 10), (3, 7), (0, 0, 4, 10)),
        ((100, 1), (4, 5), (0, 10), (0, 0.9, 10, 1.0)),
        ((3, 2), (0, 7), (0, 10), (0, 0, 10, 20 / 3)),
    ],
)
def test_a_padded_image_covers_this_part(size, rows, columns, box):
    part = grid_part("pad", size, (10, 10))
    assert part.rows == rows
    assert part.columns == columns
    assert part.box == pytest.approx(box)


def test_padding_keeps_every_pixel_in_its_place():
    image = Image.effect_noise((31, 20), 60).convert("RGB")
    square = np.asarray(pad_to_square(image, (1, 2, 3)))
    assert square.shape == (31, 31, 3)
    assert (square[5:25] == np.asarray(image)).all()
    assert (square[:5] == (1, 2, 3)).all()
    assert (square[25:] == (1, 2, 3)).all()


@pytest.mark.parametrize(("size", "shape"), [((300, 300), None), ((300, 150), "wide")])
def test_each_fit_gives_maps_of_the_part_that_shows_the_image(size, shape):
    image = Image.effect_noise(size, 60).convert("RGB")
    checkpoint = ClipCheckpoint("demo")
    for fit in ("paper", "squash", "pad"):
        model = ClipRelevance(checkpoint, fit=fit)
        prepared = model.prepare(image)
        [(maps, _)] = model.relevance([prepared], ["where is the cat?"], [0, 1])
        rows, columns = model.grid
        if fit == "pad" and shape == "wide":
            assert rows / 2 <= maps.shape[2] <= rows / 2 + 1
            rows = maps.shape[2]
        assert maps.shape == (2, 2, rows, columns)
