"""METHOD.md section 7: where on the grid an image lies."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.clip.transform import Transform
from api_cli.relevance.fit import grid_part, pad_to_square, resize_padded


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


@pytest.mark.parametrize(
    "size", [(31, 20), (20, 31), (40, 40), (3, 900), (900, 3), (1, 1), (257, 600), (336, 100)]
)
def test_an_image_is_padded_and_resized_without_the_square(size):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    for side in (16, 84, 336):
        for resample in (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR):
            expected = pad_to_square(image, (122, 116, 104)).resize((side, side), resample)
            resized = resize_padded(image, (122, 116, 104), (side, side), resample)
            assert resized.tobytes() == expected.tobytes()


def test_clip_sees_what_open_clip_would_show_it():
    rng = np.random.default_rng(0)
    for size in ((300, 200), (200, 300), (224, 224), (50, 190), (30, 20), (500, 500)):
        image = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        for mode in ("shortest", "squash", "longest"):
            config = PreprocessCfg(size=224, resize_mode=mode)
            expected = image_transform_v2(config, is_train=False)(image)
            torch.testing.assert_close(Transform(config, quick=False)(image), expected)
            levels = (Transform(config, quick=True)(image) - expected).abs()
            assert (levels * 255 * torch.tensor(config.std).view(3, 1, 1)).max() < 2.01


def test_of_a_strip_only_the_middle_is_resized():
    columns = np.linspace(0, 255, 4000).astype(np.uint8)
    strip = Image.fromarray(np.repeat(columns[:, None], 20, axis=1)).convert("RGB")
    config = PreprocessCfg(size=224)
    for image in (strip, strip.transpose(Image.Transpose.ROTATE_90)):
        expected = image_transform_v2(config, is_train=False)(image)
        far = (Transform(config, quick=False)(image) - expected).abs()
        assert (far * 255 * torch.tensor(config.std).view(3, 1, 1)).max() < 1.01


@pytest.mark.parametrize("size", [(200, 16_000), (16_000, 200), (1, 30_000)])
def test_a_strip_takes_megabytes(size):
    image = Image.new("RGB", size)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    resize_padded(image, (1, 2, 3), (336, 336))
    Transform(PreprocessCfg(size=336), quick=False)(image)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown < 200_000, "kilobytes; the square would take 768 MB"
