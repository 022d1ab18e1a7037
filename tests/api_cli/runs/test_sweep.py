"""Sweeps, kept maps, saved maps and several processes, with real processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import clean_environment, read_json_lines, write_json_lines

FLAGS = ("clip", "--dataset", "imagefolder", "--model-name", "demo")


def pictures(folder: Path) -> dict[str, np.ndarray]:
    """Masked images of every run folder beneath, by setting and name."""
    found = {}
    for path in sorted(folder.glob("APICLIP_*/*/*.png")):
        with Image.open(path) as image:
            found["/".join(path.parts[-3:])] = np.asarray(image)
    return found


def same(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> bool:
    return one.keys() == two.keys() and all(
        np.abs(one[name].astype(int) - two[name]).max() <= 1 for name in one
    )


def test_a_sweep_makes_what_single_runs_make_and_one_failure_fails_in_all(
    make_dataset, apiprompt, tmp_path
):
    root = make_dataset(("square", "wide", "tall"))
    (root / "wide.jpg").write_bytes(b"no picture")
    flags = (*FLAGS, "--data-root", root, "--format", "png", "--fit", "pad")
    sweep = ("--layer-index", "1,-1", "--enhance-coe", "1,10", "--grayscale", "0,200")
    process = apiprompt(*flags, *sweep, "--output-folder", "sweep", status=3)
    folders = process.stdout.splitlines()
    assert len(folders) == 8
    assert process.stderr.count("loading") == 1
    for folder in folders:
        assert [r["key"] for r in read_json_lines(tmp_path / folder / "errors.jsonl")] == ["wide"]
    single = ("--layer-index", "1", "--enhance-coe", "10", "--grayscale", "200")
    apiprompt(*flags, *single, "--output-folder", "single", "--no-map-store", status=3)
    assert not (tmp_path / "single" / ".maps").exists()
    expected = pictures(tmp_path / "single")
    of_sweep = pictures(tmp_path / "sweep")
    assert same(expected, {name: of_sweep[name] for name in expected})


def test_resume_works_folder_by_folder(make_dataset, apiprompt, tmp_path):
    flags = (*FLAGS, "--data-root", make_dataset(), "--enhance-coe", "1,5")
    one, five = apiprompt(*flags).stdout.splitlines()
    before = (tmp_path / five / "tall.jpg").stat().st_mtime_ns
    shutil.rmtree(tmp_path / one)
    apiprompt(*flags)
    assert (tmp_path / one / "tall.jpg").exists()
    assert (tmp_path / five / "tall.jpg").stat().st_mtime_ns == before


def test_other_mask_parameters_need_no_model(make_dataset, apiprompt, tmp_path):
    root = make_dataset(("square", "wide", "tall", "rotated"))
    flags = (*FLAGS, "--data-root", root, "--format", "png", "--fit", "pad")
    apiprompt(*flags)
    again = (*flags, "--kernel-size", "1", "--interpolate-method-name", "BOX")
    process = apiprompt(*again, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.split("|")[-1].strip() for line in process.stderr.splitlines()}
    assert not imported & {"torch", "open_clip", "transformers", "torchvision"}
    apiprompt(*again, "--output-folder", "fresh", "--no-map-store")
    kept = {k: v for k, v in pictures(tmp_path / "experiments").items() if "5_1_BOX" in k}
    assert same(kept, pictures(tmp_path / "fresh"))

    stores = apiprompt("maps").stdout
    assert "clip_demo_" in stores
    assert "pad_fp32" in stores
    assert "deleted" in apiprompt("maps", "--prune", "all").stdout
    assert "no maps are kept in experiments" in apiprompt("maps").stdout
    assert "no such maps" in apiprompt("maps", "--prune", "nothing", status=2).stderr


def test_other_weights_under_the_same_name_do_not_meet_kept_maps(make_dataset, apiprompt, tmp_path):
    from tests.conftest import write_clip

    model = tmp_path / "models" / "small"
    write_clip(model, image_size=64, patch_size=16)
    flags: tuple[object, ...] = ("clip", "--dataset", "imagefolder")
    flags += (
        "--data-root",
        make_dataset(("square",)),
        "--model-name",
        "models/small",
        "--format",
        "png",
        "--layer-index",
        "0",
    )
    apiprompt(*flags)
    first = pictures(tmp_path / "experiments")
    shutil.rmtree(model)
    shutil.rmtree(next((tmp_path / "experiments").glob("APICLIP_*")))
    write_clip(model, image_size=64, patch_size=16, layers=6)
    apiprompt(*flags)
    second = pictures(tmp_path / "experiments")
    assert first.keys() == second.keys()
    assert not same(first, second)


def test_a_damaged_store_is_said_and_made_again(make_dataset, apiprompt, tmp_path):
    flags = (*FLAGS, "--data-root", make_dataset(), "--format", "png")
    apiprompt(*flags)
    [shard] = (tmp_path / "experiments" / ".maps").glob("*/*.safetensors")
    shard.write_bytes(b"nonsense")
    first = pictures(tmp_path / "experiments")
    shutil.rmtree(next((tmp_path / "experiments").glob("APICLIP_*")))
    process = apiprompt(*flags)
    assert "are damaged or another model's: set aside, and made again" in process.stderr
    assert "loading" in process.stderr
    assert same(first, pictures(tmp_path / "experiments"))


def test_maps_are_saved_beside_the_pictures_also_afterwards(make_dataset, apiprompt, tmp_path):
    flags = (*FLAGS, "--data-root", make_dataset(("square", "wide")), "--layer-index", "2")
    folder = tmp_path / apiprompt(*flags).stdout.strip()
    process = apiprompt(*flags, "--save-maps")
    assert "loading" not in process.stderr
    assert len(read_json_lines(folder / "metadata.jsonl")) == 2
    for name, size in (("square", (256, 256)), ("wide", (350, 211))):
        maps = np.load(folder / f"{name}.npy")
        assert maps.dtype == np.float32
        assert maps.shape[0] == 2
        for kind in ("cls_map", "patch_map"):
            with Image.open(folder / f"{name}.{kind}.jpg") as heat:
                assert heat.size == size


@pytest.fixture
def thirty(make_dataset) -> Path:
    root = make_dataset(("square", "wide", "tall"))
    rows = read_json_lines(root / "metadata.jsonl")
    rows = [rows[i % 3] | {"key": str(i), "question": f"where is {i % 7}?"} for i in range(30)]
    write_json_lines(root / "metadata.jsonl", rows)
    return root


@pytest.mark.slow
def test_processes_and_shards_make_what_one_process_makes(thirty, apiprompt, tmp_path):
    flags = (*FLAGS, "--data-root", thirty, "--format", "png", "--enhance-coe", "2,5")
    apiprompt(*flags, "--output-folder", "one")

    launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")
    process = subprocess.run(
        [sys.executable, *launch, "-m", "api_cli", *flags, "--output-folder", "launched"],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert process.stdout.count("launched/") == 2, "two settings, said by one process"
    for shard in ("2/3", "0/3"):
        apiprompt(*flags, "--output-folder", "shards", "--shard", shard)
    assert (
        "20 of 30 samples are finished already"
        in apiprompt(*flags, "--output-folder", "shards").stderr
    ), "a share that was never run is done by any number of processes"

    whole = pictures(tmp_path / "one")
    assert len(whole) == 60
    for other in ("launched", "shards"):
        assert same(whole, pictures(tmp_path / other))
        for manifest in (tmp_path / "one").glob("APICLIP_*/*/metadata.jsonl"):
            theirs = tmp_path / other / manifest.relative_to(tmp_path / "one")
            assert sorted(manifest.read_bytes().splitlines()) == sorted(
                theirs.read_bytes().splitlines()
            )


@pytest.mark.parametrize("shard", ["3/3", "1", "-1/2", "a/b"])
def test_a_shard_that_does_not_exist_is_wrong_usage(shard, apiprompt):
    process = apiprompt("clip", "--shard", shard, status=2)
    assert "the shards of 3 are 0/3, 1/3 and 2/3" in process.stderr


def test_overwriting_by_several_is_refused(apiprompt):
    process = apiprompt("clip", "--shard", "0/2", "--overwrite", status=2)
    assert "delete the run folders first" in process.stderr
