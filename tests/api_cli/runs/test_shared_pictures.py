"""Neighbours with one picture: read, prepared and seen once, and never parted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.modules.module import register_module_forward_pre_hook

from api_cli.console import Console
from api_cli.masking import MaskSettings
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.options.run import RunConfig
from api_cli.relevance import Read
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.runs import pictures, pixel_budget
from api_cli.runs.jobs import Job, Variant
from api_cli.runs.map_store import MapStore
from api_cli.runs.run import run
from api_cli.runs.run_folder import RunFolder
from datasets_manager import Sample, get_dataset
from tests.api_cli.runs.test_belt import Thresholds, make_belt
from tests.conftest import read_json_lines
from tests.layouts import write_long_pope, write_mme


@contextmanager
def counting_pictures() -> Iterator[list[int]]:
    """How many pictures go through any image tower, by forward pass."""
    sizes: list[int] = []

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.in_channels == 3:
            sizes.append(len(inputs[0]))

    handle = register_module_forward_pre_hook(note)
    yield sizes
    handle.remove()


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Sizes in bytes of the pictures that are decoded, as they are."""
    sizes: list[int] = []

    def noting(content: bytes) -> Image.Image:
        sizes.append(len(content))
        return pictures.decode(content)

    monkeypatch.setattr(pixel_budget, "decode", noting)
    return sizes


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run", {}, {}, image_format="png")


def jobs_about(folder: RunFolder, images: list[Path | Callable[[], bytes]]) -> list[Job]:
    variant = Variant((Read(0),), MaskSettings(), folder)
    return [
        Job(Sample(f"{i:03}", i, image, f"what is {i}?"), (variant,))
        for i, image in enumerate(images)
    ]


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (1, 4), (3, 2), (8, 8), (64, 3)])
def test_neighbours_are_decoded_and_prepared_once(
    batch_size, workers, folder, photographs, decoded
):
    paths = [photographs[name] for name in ("square", "wide", "tall", "grey") for _ in range(7)]
    model = Thresholds()
    belt = make_belt(model, batch_size=batch_size, num_workers=workers)
    report = belt.run(jobs_about(folder, [*paths]))
    assert (report.finished, report.failed) == (28, 0)
    assert (model.prepared, len(decoded)) == (4, 4)


def test_the_picture_counts_and_not_its_name(folder, photographs, decoded, tmp_path):
    content = photographs["wide"].read_bytes()
    copies = [tmp_path / f"{n}.jpg" for n in range(3)]
    for copy in copies:
        copy.write_bytes(content)
    model = Thresholds()
    belt = make_belt(model, batch_size=4)
    belt.run(jobs_about(folder, [*copies, lambda: content, photographs["square"]]))
    assert (model.prepared, len(decoded)) == (2, 2)
    assert model.pictures == [1, 1]


def test_a_slow_neighbour_still_finds_the_picture(folder, photographs, decoded):
    """Others overtake it while it is read; its group is finished but for it."""
    content = photographs["square"].read_bytes()
    others = [photographs[name] for name in ("wide", "tall", "grey", "palette")]

    def slow() -> bytes:
        time.sleep(0.3)
        return content

    model = Thresholds()
    belt = make_belt(model, batch_size=1, num_workers=6)
    belt.run(jobs_about(folder, [photographs["square"], slow, *others]))
    assert (model.prepared, len(decoded)) == (6 - 1, 6 - 1)


def test_two_threads_at_once_do_not_do_the_work_twice(folder, photographs, decoded):
    content = photographs["wide"].read_bytes()
    together = threading.Barrier(4)

    def read() -> bytes:
        together.wait(timeout=20)
        return content

    model = Thresholds()
    make_belt(model, batch_size=4, num_workers=4).run(jobs_about(folder, [read] * 4))
    assert (model.prepared, len(decoded)) == (1, 1)


def test_pictures_do_not_stay_when_they_have_passed(folder, photographs, tmp_path):
    paths = []
    for n in range(60):
        paths += [tmp_path / f"{n}.png"] * 2
        Image.new("RGB", (64, 64), (n, 0, 0)).save(paths[-1])
    belt = make_belt(Thresholds(), batch_size=2, num_workers=2)
    held = []
    belt._finishing._progress = lambda report: held.append(len(belt._reading._pictures))
    belt.run(jobs_about(folder, [*paths]))
    assert max(held) <= 8
    assert len(belt._reading._pictures) == 0


@pytest.mark.parametrize("harm", ["missing", "broken"])
def test_a_broken_picture_costs_each_question_about_it_one_row(harm, folder, photographs, tmp_path):
    bad = tmp_path / "bad.jpg"
    if harm == "broken":
        bad.write_bytes(photographs["wide"].read_bytes()[:-400])
    belt = make_belt(Thresholds(), batch_size=3)
    good = photographs["square"]
    report = belt.run(jobs_about(folder, [good, bad, bad, bad, good]))
    assert (report.finished, report.failed) == (2, 3)
    assert [row["key"] for row in read_json_lines(folder.path / "errors.jsonl")] == [
        "001", "002", "003",
    ]  # fmt: skip


def test_kept_maps_and_new_questions_share_a_picture(folder, photographs, decoded, tmp_path):
    store = MapStore(tmp_path / "maps", {})
    paths = [photographs["square"]] * 4
    first = make_belt(Thresholds(), batch_size=2, store=store)
    first.run(jobs_about(folder, [*paths])[1:3])
    decoded.clear()
    again = RunFolder(tmp_path / "again", {}, {}, image_format="png")
    model = Thresholds()
    make_belt(model, batch_size=2, store=store).run(jobs_about(again, [*paths]))
    assert (model.prepared, len(decoded), model.batches) == (1, 1, [2])


def test_masks_of_shared_pictures_are_those_of_single_samples(tmp_path, photographs):
    model = ClipRelevance(ClipCheckpoint("demo"))
    names = ["square"] * 3 + ["wide"] + ["tall"] * 2 + ["square"] + ["wide"] * 2
    made = []
    for batch_size, workers in ((1, 1), (2, 2), (4, 1), (9, 4)):
        folder = RunFolder(tmp_path / str(batch_size), {}, {}, image_format="png")
        jobs = jobs_about(folder, [photographs[name] for name in names])
        if batch_size == 1:
            for job in jobs:  # each alone: nothing is shared
                make_belt(
                    ClipRelevance(ClipCheckpoint("demo")), model.grid, image_format="png"
                ).run([job])
        else:
            make_belt(
                model, model.grid, image_format="png", batch_size=batch_size, num_workers=workers
            ).run(jobs)
        paths = sorted(folder.path.glob("*.png"))
        made.append([np.asarray(Image.open(path), dtype=int) for path in paths])
    for other in made[1:]:
        for one, two in zip(made[0], other, strict=True):
            assert np.abs(one - two).max() <= 1


def config_of(kind: type[RunConfig], dataset: str, root: Path, out: Path, size: int) -> RunConfig:
    flags = {
        "dataset": dataset, "data_root": str(root), "model_name": "demo", "output_folder": str(out),
        "batch_size": size, "quiet": True, "device": "cpu",
    }  # fmt: skip
    return kind.resolve(flags | ({"max_new_tokens": 2} if kind is LlavaConfig else {}), {})


@pytest.mark.model
@pytest.mark.parametrize("kind", [ClipConfig, LlavaConfig])
@pytest.mark.parametrize("size", [1, 8])
def test_pope_sees_a_picture_once_a_file(kind, size, photographs, tmp_path):
    names = ("square", "wide", "tall")
    write_long_pope(tmp_path / "POPE", [photographs[name] for name in names])
    with counting_pictures() as seen:
        outcome = run(
            config_of(kind, "POPE", tmp_path, tmp_path / "out", size), Console(quiet=True), Launch()
        )
    assert outcome.report is not None
    assert (outcome.report.finished, outcome.report.failed) == (54, 0)
    assert sum(seen) == 9


@pytest.mark.model
@pytest.mark.parametrize("kind", [ClipConfig, LlavaConfig])
def test_mme_sees_a_picture_once_for_its_two_questions(kind, photographs, tmp_path):
    write_mme(tmp_path / "MME" / "MME_Benchmark_release_version", photographs)
    for n, path in enumerate(p for p in sorted(tmp_path.rglob("*.*g"))):
        with Image.open(path) as picture:  # the layout's are all the same photograph
            resized = picture.resize((60 + n, 40))
        resized.save(path)
    samples = get_dataset("MME", tmp_path)
    contents = [sample.read_image() for sample in samples]
    groups = 1 + sum(one != other for one, other in pairwise(contents))
    assert len(samples) == 56
    with counting_pictures() as seen:
        outcome = run(
            config_of(kind, "MME", tmp_path, tmp_path / "out", 5), Console(quiet=True), Launch()
        )
    assert outcome.report is not None
    assert outcome.report.finished == 56
    assert sum(seen) == groups == 28


class TestShares:
    """What is whose, among shards and processes."""

    def test_every_item_is_someones_and_neighbours_stay_together(self):
        items = list(range(103))
        for shards, world in ((1, 1), (3, 1), (1, 4), (3, 2), (200, 1)):
            shares = [
                Launch(rank, world).share(items, (index, shards))
                for index in range(shards)
                for rank in range(world)
            ]
            assert [item for share in shares for item in share] == items
            assert max(map(len, shares)) - min(map(len, shares)) <= 1

    def test_questions_about_one_picture_are_never_parted(self, photographs):
        a, b = photographs["square"], photographs["wide"]
        images = [a, a, a, a, b, b, a, b, b, b]
        samples = [Sample(str(i), i, image, "?") for i, image in enumerate(images)]
        for number in range(1, 12):
            shares = [
                Launch().share(samples, (index, number), Sample.shares_picture)
                for index in range(number)
            ]
            assert [sample for share in shares for sample in share] == samples
            for one, other in pairwise(samples):
                if one.image == other.image:
                    assert any(one in share and other in share for share in shares)

    def test_what_is_known_of_pictures_before_they_are_read(self, tmp_path):
        def read() -> bytes:
            raise AssertionError("not to be read")

        def sample(image: Path | bytes | Callable[[], bytes], picture: str | None = None) -> Sample:
            return Sample("k", 0, image, "?", picture=picture)

        path = tmp_path / "a.jpg"
        assert sample(path).shares_picture(sample(tmp_path / "a.jpg"))
        assert not sample(path).shares_picture(sample(tmp_path / "b.jpg"))
        assert not sample(read).shares_picture(sample(read)), "not known"
        assert sample(read, "COCO_1").shares_picture(sample(read, "COCO_1"))
        assert not sample(read, "COCO_1").shares_picture(sample(read, "COCO_2"))
        assert not sample(read, "COCO_1").shares_picture(sample(path))

    def test_shards_of_a_run_see_each_picture_once_in_all(self, photographs, tmp_path):
        names = ("square", "wide", "tall", "grey")
        write_long_pope(tmp_path / "POPE", [photographs[name] for name in names], questions=3)
        with counting_pictures() as seen:
            for index in range(5):
                config = ClipConfig.resolve(
                    {
                        "dataset": "POPE", "data_root": str(tmp_path), "model_name": "demo",
                        "output_folder": str(tmp_path / "out"), "shard": f"{index}/5",
                    },
                    {},
                )  # fmt: skip
                run(config, Console(quiet=True), Launch())
        assert sum(seen) == 12
        [manifest] = (tmp_path / "out").glob("APICLIP_POPE_demo_*/*/metadata.jsonl")
        assert len(read_json_lines(manifest)) == 36
