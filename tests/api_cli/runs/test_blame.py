"""Whose fault it is: samples that fail cost a row each, what is the run's own ends it."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from api_cli.errors import Interrupted, RunFolderError, SourceGoneError
from api_cli.masking import CLIP, MaskSettings
from api_cli.relevance import Prepared, Read, Relevance
from api_cli.relevance.fit import grid_part
from api_cli.runs.belt import Belt
from api_cli.runs.blame import IN_A_ROW
from api_cli.runs.jobs import Job, Report, Variant
from api_cli.runs.map_store import MapStore
from api_cli.runs.run_folder import RunFolder
from api_cli.signals import raise_on_signals
from datasets_manager import Sample
from tests.conftest import read_json_lines

Before = Callable[[int, list[str]], None]


class Bright:
    """An auxiliary model of a few lines: bright patches matter. `before` is called each batch."""

    default_batch_size = 4

    def __init__(
        self, before: Callable[[int, list[str]], None] = lambda batch, asked: None
    ) -> None:
        self._before = before
        self.batches = 0

    def prepare(self, image: Image.Image) -> Prepared:
        small = torch.from_numpy(np.asarray(image.convert("L").resize((4, 4)), dtype=np.float32))
        return Prepared(small.expand(3, 4, 4), grid_part("squash", image.size, (4, 4)))

    def relevance(self, images, questions, reads, unanswered=()):
        self.batches += 1
        self._before(self.batches, questions)
        maps = [torch.stack([i.pixels[0], -i.pixels[0]])[None].numpy() for i in images]
        return [Relevance(m, {}) for m in maps]


class Ground:
    """An image folder and a run folder.

    Attributes:
        pictures: folder of 80 pictures, 0.png to 79.png.
        folder: where results go.
    """

    def __init__(self, root: Path) -> None:
        self.pictures = root / "pictures"
        self.pictures.mkdir()
        for i in range(80):
            picture = Image.effect_noise((24, 16), 40 + i).convert("RGB")
            picture.save(self.pictures / f"{i}.png", compress_level=0)
        self.folder = RunFolder(root / "run", {}, {}, image_format="png")

    def samples(self, question: Callable[[int], str] = lambda i: "?") -> list[Sample]:
        return [Sample(str(i), i, self.pictures / f"{i}.png", question(i)) for i in range(80)]

    def run(self, samples: list[Sample], model: Bright | None = None, **options: Any) -> Report:
        load = lambda: model or Bright()  # noqa: E731
        variants = (Variant((Read(0),), MaskSettings(), self.folder),)
        options = {"image_format": "png", "batch_size": 4, **options}
        belt = Belt(CLIP, load, partial(grid_part, "squash", grid=(4, 4)), **options)
        return belt.run([Job(sample, variants) for sample in samples])

    def rows(self, name: str = "metadata.jsonl") -> list[dict[str, Any]]:
        path = self.folder.path / name
        return read_json_lines(path) if path.exists() else []

    def assert_whole(self) -> None:
        """Every row has its picture, every picture its row, and nothing is half."""
        names = {row["file_name"] for row in self.rows()}
        there = {path.name for path in self.folder.path.glob("*.png")}
        assert there == names
        assert not list(self.folder.path.glob(".*.tmp"))
        for name in names:
            with Image.open(self.folder.path / name) as image:
                image.load()


@pytest.fixture
def ground(tmp_path) -> Ground:
    return Ground(tmp_path)


def test_a_dataset_that_is_gone_half_way_ends_the_run_and_enters_nobody(ground):
    def remove(batch: int, asked: list[str]) -> None:
        if batch == 5:
            ground.pictures.rename(ground.pictures.with_name("elsewhere"))

    with pytest.raises(SourceGoneError, match=r"can no longer be read.*stopped after 20"):
        ground.run(ground.samples(), Bright(remove))
    assert 20 <= len(ground.rows()) < 80 - IN_A_ROW
    assert ground.rows("errors.jsonl") == []
    ground.assert_whole()
    ground.pictures.with_name("elsewhere").rename(ground.pictures)
    ground.run([s for s in ground.samples() if s.key not in ground.folder])
    assert len(ground.rows()) == 80


def test_a_shard_that_is_gone_ends_the_run(ground, tmp_path):
    samples = ground.samples()
    for shard in range(2):
        content = [s.read_image() for s in samples[40 * shard : 40 * shard + 40]]
        (tmp_path / f"{shard}.shard").write_bytes(b"".join(content))
    size = len(samples[0].read_image())

    def read(index: int) -> bytes:
        with (tmp_path / f"{index // 40}.shard").open("rb") as shard:
            shard.seek(index % 40 * size)
            return shard.read(size)

    def remove(batch: int, asked: list[str]) -> None:
        (tmp_path / "1.shard").unlink(missing_ok=True)

    inside = [Sample(s.key, s.index, partial(read, s.index), "?") for s in samples]
    with pytest.raises(SourceGoneError, match=r"1\.shard is gone; stopped after 20"):
        ground.run(inside, Bright(remove))
    assert len(ground.rows()) == 40
    assert ground.rows("errors.jsonl") == []


def test_a_dataset_whose_pictures_were_never_there_ends_the_run(ground):
    shutil.rmtree(ground.pictures)
    with pytest.raises(SourceGoneError, match=r"the folder of the pictures is gone: .*pictures"):
        ground.run(ground.samples())
    assert ground.rows("errors.jsonl") == []


@pytest.mark.parametrize("first", [0, 25, 50])
def test_thirty_missing_files_in_a_row_are_thirty_rows(first, ground):
    for i in range(first, first + 30):
        (ground.pictures / f"{i}.png").unlink()
    report = ground.run(ground.samples())
    assert (report.finished, report.failed) == (50, 30)
    failed = ground.rows("errors.jsonl")
    assert [row["index"] for row in failed] == list(range(first, first + 30))
    assert {row["stage"] for row in failed} == {"read"}
    ground.assert_whole()


def test_forty_questions_about_one_missing_picture_are_forty_rows(ground):
    (ground.pictures / "0.png").unlink()
    samples = [
        Sample(str(i), i, ground.pictures / f"{max(0, i - 39)}.png", f"{i}?") for i in range(80)
    ]
    report = ground.run(samples)
    assert (report.finished, report.failed) == (40, 40)


def test_a_model_that_fails_whatever_it_is_asked_ends_the_run_and_enters_nobody(ground):
    def fail(batch: int, asked: list[str]) -> None:
        if batch > 3:
            raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(SourceGoneError, match=r"the model fails whatever it is asked: .*CUDA"):
        ground.run(ground.samples(), Bright(fail))
    assert len(ground.rows()) == 12
    assert ground.rows("errors.jsonl") == []
    ground.assert_whole()


def test_thirty_questions_in_a_row_that_the_model_fails_on_are_thirty_rows(ground):
    def fail(batch: int, asked: list[str]) -> None:
        if "long" in asked:
            raise ValueError("the question is too long")

    samples = ground.samples(lambda i: "long" if 20 <= i < 50 else "?")
    report = ground.run(samples, Bright(fail))
    assert (report.finished, report.failed) == (50, 30)
    assert {row["stage"] for row in ground.rows("errors.jsonl")} == {"relevance"}


def test_an_end_that_is_asked_for_within_a_thread_is_no_samples_fault(ground):
    def leave() -> bytes:
        raise SystemExit(7)

    samples = ground.samples()[:20]
    samples[9] = Sample("9", 9, leave, "?")
    with pytest.raises(SystemExit):
        ground.run(samples)
    assert ground.rows("errors.jsonl") == []
    ground.assert_whole()


@pytest.mark.parametrize(("image_format", "longest"), [("jpg", 65_500), ("webp", 16_383)])
@pytest.mark.parametrize("upright", [False, True])
def test_a_picture_too_long_for_its_format_is_one_row_with_the_way_out(
    image_format, longest, upright, tmp_path
):
    def content(length: int) -> bytes:
        buffer = io.BytesIO()
        size = (4, length) if upright else (length, 4)
        Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, "PNG")
        return buffer.getvalue()

    samples = [
        Sample("short", 0, content(400), "?"),
        Sample("long", 1, content(longest + 1), "?"),
        Sample("just", 2, content(longest), "?"),
    ]
    ground = Ground(tmp_path)
    ground.folder = RunFolder(tmp_path / "out", {}, {}, image_format=image_format)
    report = ground.run(samples, image_format=image_format)
    assert (report.finished, report.failed) == (2, 1)
    [row] = ground.rows("errors.jsonl")
    assert (row["key"], row["stage"]) == ("long", "encode")
    assert f"{image_format}, which takes {longest:,} a side; use --format png" in row["error"]


def test_maps_that_cannot_be_kept_fail_nobody(ground, tmp_path):
    (tmp_path / "maps").write_text("no folder")
    said: list[str] = []
    report = ground.run(ground.samples(), store=MapStore(tmp_path / "maps", {}, said.append))
    assert (report.finished, report.failed) == (80, 0)
    assert len(said) == 1


def test_a_run_folder_that_is_gone_ends_the_run(ground):
    def remove(batch: int, asked: list[str]) -> None:
        if batch == 4:
            shutil.rmtree(ground.folder.path)

    with pytest.raises(RunFolderError, match="was deleted, or begun anew"):
        ground.run(ground.samples(), Bright(remove))


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals as the program takes them, and afterwards as they were."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:  # a shell's background ignores some, which then stay ignored
        signal.signal(number, signal.SIG_DFL)
    raise_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_lets_what_is_in_flight_be_written(number, status, ground):
    def send(batch: int, asked: list[str]) -> None:
        if batch in (5, 6):
            os.kill(os.getpid(), number)  # the launcher's, right after the terminal's

    model = Bright(send)
    with pytest.raises(Interrupted, match="what is finished stays") as raised:
        ground.run(ground.samples(), model)
    assert raised.value.exit_status == status
    assert model.batches == 5
    assert [row["index"] for row in ground.rows()] == list(range(20))
    ground.assert_whole()


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_is_ignored_stays_ignored(ground):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does

    def send(batch: int, asked: list[str]) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    assert ground.run(ground.samples(), Bright(send)).finished == 80
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
