"""`--shuffle-masks`: whose mask a sample takes, and what becomes of it."""

from __future__ import annotations

import shutil
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api_cli.console import Console
from api_cli.errors import RunFolderError
from api_cli.masking import MaskSettings, apply_mask, clip_mask
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.fit import grid_part
from api_cli.runs.pictures import decode
from api_cli.runs.run import Outcome, run
from api_cli.runs.shuffling import Shuffle
from datasets_manager import Dataset, DatasetError, Sample, get_dataset
from tests.conftest import read_json_lines, write_json_lines


def digest(sample: Sample) -> str:
    return sha256(sample.read_image()).hexdigest()


def make_set(pictures: list[Any], queries: list[str] | None = None) -> Dataset:
    asked = queries or ["?"] * len(pictures)
    return Dataset(
        "mine",
        [
            Sample(f"k{n}", n, picture, query)
            for n, (picture, query) in enumerate(zip(pictures, asked, strict=True))
        ],
    )


def choices(dataset: Dataset, seed: int) -> dict[str, str]:
    shuffle = Shuffle(dataset, seed)
    return {s.key: shuffle.other(s, digest(s)).sample.key for s in dataset}


@pytest.mark.parametrize("per_picture", [1, 2, 6])
def test_a_mask_is_always_of_another_picture_and_used_about_once(per_picture):
    """Also where a picture stands in several rows, as bytes of their own."""
    dataset = make_set([b"%d" % (n // per_picture) for n in range(120)])
    chosen = choices(dataset, seed=7)
    pictures = {s.key: digest(s) for s in dataset}
    assert all(pictures[key] != pictures[other] for key, other in chosen.items())
    assert max(Counter(chosen.values()).values()) <= 4
    assert len(set(chosen.values())) > 0.8 * len(dataset)


def test_the_choice_is_the_seeds_the_keys_and_the_sets_alone():
    dataset = make_set([b"%d" % n for n in range(40)])
    turned = Dataset(
        "mine", [Sample(s.key, i, s.image, s.question) for i, s in enumerate(reversed(dataset))]
    )
    assert choices(dataset, 3) == choices(turned, 3) != choices(dataset, 4)
    more = Shuffle(make_set([b"%d" % n for n in range(41)]), 3).settings
    assert Shuffle(dataset, 3).settings == Shuffle(turned, 3).settings
    assert Shuffle(dataset, 3).settings != more


def test_pictures_of_the_same_file_are_told_apart_without_reading(tmp_path):
    (tmp_path / "one.jpg").write_bytes(b"one")
    (tmp_path / "copy.jpg").write_bytes(b"one")
    reads = []

    def other() -> bytes:
        reads.append("other")
        return b"other"

    files = [tmp_path / "one.jpg"] * 5 + [tmp_path / "copy.jpg"]
    dataset = make_set([*files, other])
    assert {choices(dataset, seed)["k0"] for seed in range(5)} == {"k6"}
    assert reads
    shuffle = Shuffle(make_set(files), 0)
    with pytest.raises(DatasetError, match="no other picture in the dataset"):
        shuffle.other(dataset[0], digest(dataset[0]))


def test_a_sample_that_asks_nothing_lends_no_mask():
    dataset = make_set([b"a", b"b", b"c"], ["?", " ", "?"])
    assert choices(dataset, 0) == {"k0": "k2", "k1": choices(dataset, 0)["k1"], "k2": "k0"}


def mask(root: Path, output: Path, **options: Any) -> Outcome:
    config = ClipConfig(
        dataset="imagefolder", data_root=root, model_name="demo", output_folder=output,
        format="png", fit="pad", **options,
    )  # fmt: skip
    return run(config, Console(quiet=True), Launch())


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))}


@pytest.mark.model
def test_another_samples_mask_is_stretched_over_the_picture(make_dataset, tmp_path):
    """And it is the same in a range or a shard; kept maps do, and missing ones are made."""
    root = make_dataset(("square", "wide", "tall", "rotated"))
    [own], _ = mask(root, tmp_path / "out", save_maps=True)
    [folder], report = mask(root, tmp_path / "out", shuffle_masks=5)
    assert (folder.parent, folder.name) == (own.parent, "5_3_LANCZOS_0_shuffled-5")
    assert report is not None
    assert (report.finished, report.seconds_model) == (4, 0.0)

    rows = {row["key"]: row for row in read_json_lines(folder / "metadata.jsonl")}
    samples = {s.key: s for s in get_dataset("imagefolder", root)}
    for key, row in rows.items():
        assert row["mask_of"] != key
        maps = np.load(own / f"{row['mask_of']}.npy")
        lender, picture = (decode(samples[k].read_image()) for k in (row["mask_of"], key))
        box = grid_part("pad", lender.size, ClipCheckpoint("demo").grid).box
        expected = apply_mask(picture, clip_mask(maps, MaskSettings()), MaskSettings(), box)
        masked = np.asarray(Image.open(folder / row["file_name"])).astype(int)
        assert np.abs(masked - np.asarray(expected)).max() <= 1
        assert row["image_sha256"] == digest(samples[key])
    assert "mask_of" not in read_json_lines(own / "metadata.jsonl")[0]

    [part], report = mask(root, tmp_path / "part", shuffle_masks=5, range=(1, 3), shard=(1, 2))
    assert report is not None
    assert report.seconds_model > 0
    made, whole = pictures(part), pictures(folder)
    assert list(made) == ["tall.png"]
    assert np.abs(made["tall.png"].astype(int) - whole["tall.png"]).max() <= 1
    _, report = mask(root, tmp_path / "out", shuffle_masks=5)
    assert report is None, "nothing was left to do"


@pytest.mark.model
def test_masks_drawn_from_another_set_are_not_mixed_in(make_dataset, tmp_path):
    root = make_dataset()
    mask(root, tmp_path / "out", shuffle_masks=1)
    [two], _ = mask(root, tmp_path / "out", shuffle_masks=2)
    assert two.name.endswith("_shuffled-2")
    rows = read_json_lines(root / "metadata.jsonl")
    write_json_lines(root / "metadata.jsonl", [*rows, rows[0] | {"key": "another"}])
    with pytest.raises(RunFolderError, match="other settings: shuffled_keys is"):
        mask(root, tmp_path / "out", shuffle_masks=1)


@pytest.mark.model
def test_a_mask_that_cannot_be_had_costs_its_sample(make_dataset, tmp_path):
    root = make_dataset(("square", "wide", "tall"))
    (root / "wide.jpg").unlink()
    [folder], report = mask(root, tmp_path / "out", shuffle_masks=0)
    assert report is not None
    assert (report.finished, report.failed) == (1, 2)
    errors = {row["key"]: row["error"] for row in read_json_lines(folder / "errors.jsonl")}
    [other] = errors.keys() - {"wide"}
    assert "the picture of 'wide', whose mask it takes" in errors[other]
    shutil.rmtree(root)
    root = make_dataset(("square",))
    [folder], report = mask(root, tmp_path / "alone", shuffle_masks=0)
    [error] = read_json_lines(folder / "errors.jsonl")
    assert "no other picture in the dataset" in error["error"]


@pytest.mark.model
def test_what_llava_answered_about_the_other_picture_is_not_said_of_this_one(tmp_path):
    config = LlavaConfig(range=(0, 2), shuffle_masks=3, output_folder=tmp_path, max_new_tokens=2)
    [folder], _ = run(config, Console(quiet=True), Launch())
    rows = read_json_lines(folder / "metadata.jsonl")
    assert all("mask_of" in row and "auxiliary_answer" not in row for row in rows)
