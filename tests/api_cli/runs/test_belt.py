"""The belt: pictures of every kind, batches that do not fit, samples that fail."""

from __future__ import annotations

import io
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from api_cli.errors import ModelError
from api_cli.masking import CLIP, MaskSettings
from api_cli.relevance import Prepared, Read, Relevance, RelevanceModel
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.fit import grid_part
from api_cli.runs.belt import Belt
from api_cli.runs.jobs import Job, Variant
from api_cli.runs.pictures import decode, encode
from api_cli.runs.run_folder import RunFolder
from datasets_manager import Sample
from tests.conftest import read_json_lines


class Thresholds:
    """An auxiliary model of a few lines: bright patches matter; memory for so many images."""

    default_batch_size = 8

    def __init__(self, fits: int = 1000, seconds: float = 0.0) -> None:
        self.fits = fits
        self.seconds = seconds
        self.batches: list[int] = []
        self.pictures: list[int] = []
        self.prepared = 0

    def prepare(self, image: Image.Image) -> Prepared:
        self.prepared += 1
        small = torch.from_numpy(np.asarray(image.convert("L").resize((4, 4)), dtype=np.float32))
        return Prepared(small.expand(3, 4, 4), grid_part("squash", image.size, (4, 4)))

    def relevance(self, images, questions, reads, unanswered=()):
        self.batches.append(len(images))
        self.pictures.append(len({id(image.pixels) for image in images}))
        time.sleep(self.seconds)
        if len(images) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if "bad" in questions:
            raise RuntimeError("cannot think of that")
        maps = [torch.stack([i.pixels[0], -i.pixels[0]])[None].numpy() for i in images]
        return [Relevance(m, {}) for m in maps]


def jobs(folder: RunFolder, photographs: dict[str, Path], questions: list[str]) -> list[Job]:
    variant = Variant((Read(0),), MaskSettings(), folder)
    names = list(photographs)
    return [
        Job(Sample(str(i), i, photographs[names[i % 3]], question), (variant,))
        for i, question in enumerate(questions)
    ]


def make_belt(model: RelevanceModel, grid: tuple[int, int] = (4, 4), **options: Any) -> Belt:
    locate = partial(grid_part, "squash", grid=grid)
    return Belt(CLIP, lambda: model, locate, **options)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run", {}, {}, image_format="jpg")


def test_a_batch_that_does_not_fit_is_halved_for_good(folder, photographs):
    model = Thresholds(fits=2)
    belt = make_belt(model, batch_size=8)
    report = belt.run(jobs(folder, photographs, ["?"] * 20))
    assert (report.finished, report.failed) == (20, 0)
    assert model.batches == [8, 4, 2, 2, 4, 2, 2] + [2] * 6
    assert [row["index"] for row in read_json_lines(folder.path / "metadata.jsonl")] == [*range(20)]


def test_not_even_one_image_fitting_is_one_clear_line(folder, photographs):
    with pytest.raises(ModelError, match="out of memory at batch size 1; use a smaller model"):
        make_belt(Thresholds(fits=0)).run(jobs(folder, photographs, ["?"] * 3))


def test_one_sample_that_fails_in_the_model_fails_alone(folder, photographs):
    questions = ["?"] * 5 + ["bad"] + ["?"] * 5
    report = make_belt(Thresholds(), batch_size=8).run(jobs(folder, photographs, questions))
    assert (report.finished, report.failed) == (10, 1)
    [row] = read_json_lines(folder.path / "errors.jsonl")
    assert row == {
        "key": "5", "index": 5, "stage": "relevance", "error": "RuntimeError: cannot think of that",
    }  # fmt: skip


def test_masks_do_not_depend_on_batches_workers_or_neighbours(tmp_path, photographs):
    model = ClipRelevance(ClipCheckpoint("demo"))
    questions = ["what colour is the cat?", "a", "how many of the many things are there?"] * 3
    pictures = []
    for batch_size, workers in ((1, 1), (3, 2), (8, 4)):
        path = tmp_path / f"{batch_size}"
        folder = RunFolder(path, {}, {}, image_format="png")
        belt = make_belt(
            model, model.grid, image_format="png", batch_size=batch_size, num_workers=workers
        )
        belt.run(jobs(folder, photographs, questions))
        pictures.append([load(path / f"{i}.png") for i in range(9)])
    for other in pictures[1:]:
        for one, two in zip(pictures[0], other, strict=True):
            assert np.abs(one.astype(int) - two).max() <= 1


def load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_pictures_are_decoded_as_a_person_sees_them(photographs):
    assert decode(photographs["rotated"].read_bytes()).size == (215, 320)
    for name in ("grey", "palette", "rgba"):
        assert decode(photographs[name].read_bytes()).mode == "RGB"


@pytest.mark.parametrize("harm", ["truncated", "no picture", "empty", "bomb"])
def test_a_broken_picture_is_an_error_not_half_a_picture(harm, photographs, monkeypatch):
    content = photographs["wide"].read_bytes()
    if harm == "bomb":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    broken = {"truncated": content[:-500], "no picture": b"<html>", "empty": b""}
    with pytest.raises((OSError, Image.DecompressionBombError)):
        decode(broken.get(harm, content))


@pytest.mark.parametrize("image_format", ["png", "webp", "jpg"])
def test_pictures_are_encoded_in_each_format(image_format):
    image = Image.effect_noise((64, 40), 30).convert("RGB")
    with Image.open(io.BytesIO(encode(image, image_format, 95))) as back:
        assert back.size == image.size
        assert back.format == {"png": "PNG", "webp": "WEBP", "jpg": "JPEG"}[image_format]
        difference = np.abs(np.asarray(back.convert("RGB")).astype(int) - np.asarray(image))
    assert difference.mean() <= (0 if image_format == "png" else 8)
