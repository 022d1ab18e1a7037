"""Runs that are killed, repeated, mixed up or crowded: each with real processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import pytest
from PIL import Image

from tests.conftest import clean_environment, read_json_lines, write_clip, write_json_lines

MORE = 1440  # samples that take seconds
FLAGS = ("clip", "--dataset", "imagefolder", "--model-name", "demo")


def start(tmp_path: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "api_cli", *map(str, arguments)],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # as at a terminal: where tests run in a shell's background, Ctrl-C is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_for_rows(manifest: Path, rows: int) -> None:
    deadline = time.monotonic() + 60
    while not manifest.exists() or manifest.read_bytes().count(b"\n") < rows:
        assert time.monotonic() < deadline, "no results in a minute"
        time.sleep(0.01)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.*"))}


@pytest.fixture
def many(make_dataset, photographs) -> Path:
    """An image folder of 240 samples."""
    root = make_dataset(("square", "wide", "tall"))
    rows = read_json_lines(root / "metadata.jsonl")
    rows = [rows[i % 3] | {"key": f"sample {i}"} for i in range(240)]
    write_json_lines(root / "metadata.jsonl", rows)
    return root


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes_without_doing_anything_twice(how, many, apiprompt, tmp_path):
    rows = read_json_lines(many / "metadata.jsonl")  # enough for seconds, since rows come in groups
    rows = [row | {"key": f"sample {i}"} for i, row in enumerate(rows * (MORE // 240))]
    write_json_lines(many / "metadata.jsonl", rows)
    flags = (*FLAGS, "--data-root", many, "--batch-size", "1")
    process = start(tmp_path, *flags, "--output-folder", "killed")
    folder = tmp_path / "killed" / "APICLIP_imagefolder_demo_3" / "5_3_LANCZOS_0"
    wait_for_rows(folder / "metadata.jsonl", 5)
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted" in stderr
    first = read_json_lines(folder / "metadata.jsonl")
    assert 5 <= len(first) < MORE
    for row in first:
        with Image.open(folder / row["file_name"]) as image:
            image.load()
    times = {row["file_name"]: (folder / row["file_name"]).stat().st_mtime_ns for row in first}

    resumed = apiprompt(*flags, "--output-folder", "killed")
    assert f"{len(first)} of {MORE} samples are finished already" in resumed.stderr
    for name, mtime in times.items():
        assert (folder / name).stat().st_mtime_ns == mtime, f"{name} was made twice"

    whole = apiprompt(*flags, "--output-folder", "whole").stdout.strip()
    killed, whole = snapshot(folder), snapshot(tmp_path / whole)
    for record in (killed, whole):
        record.pop("run.yaml")  # says when and where
        manifest = record.pop("metadata.jsonl").splitlines()
        assert len(manifest) == len(set(manifest)) == MORE
        record["rows"] = b"\n".join(sorted(manifest))
    assert killed == whole


def test_a_torn_manifest_line_and_a_missing_image_are_made_again(many, apiprompt):
    flags = (*FLAGS, "--data-root", many, "--range", 0, 6)
    folder = Path(many.parent, apiprompt(*flags).stdout.strip())
    manifest = folder / "metadata.jsonl"
    before = read_json_lines(manifest)
    (folder / before[2]["file_name"]).unlink()
    manifest.write_bytes(manifest.read_bytes()[:-40])
    process = apiprompt(*flags)
    assert "4 of 6 samples are finished already" in process.stderr
    rows = read_json_lines(manifest)
    assert sorted(row["index"] for row in rows) == [0, 1, 2, 3, 4, 5]
    assert (folder / before[2]["file_name"]).exists()


def test_nothing_left_to_do_is_done_at_once(many, apiprompt):
    flags = (*FLAGS, "--data-root", many, "--range", 0, 3)
    first = apiprompt(*flags)
    again = apiprompt(*flags)
    assert again.stdout == first.stdout
    assert "nothing left to do" in again.stderr
    assert "loading" not in again.stderr


def test_results_of_other_settings_are_never_mixed(make_dataset, apiprompt, tmp_path):
    root = make_dataset()
    model = tmp_path / "models" / "small"
    write_clip(model, image_size=64, patch_size=16)
    flags = ["clip", "--dataset", "imagefolder", "--data-root", root, "--model-name", model]
    folder = tmp_path / apiprompt(*flags).stdout.strip()
    before = snapshot(folder)

    def refused(says: str, *more: str) -> None:
        process = apiprompt(*flags, *more, status=1)
        assert says in process.stderr
        assert "--overwrite" in process.stderr
        assert snapshot(folder) == before

    refused("fit is 'pad', was 'paper'", "--fit", "pad")
    refused("format is 'png', was 'jpg'", "--format", "png")
    make_dataset(question=["one", "two", "three"])
    refused("its sample 'square' has another question")
    make_dataset(("square", "grey"))
    refused("its sample 'wide' is not in the dataset")
    make_dataset()
    with Image.open(root / "tall.png") as picture:
        picture.rotate(180).save(root / "tall.png")
    refused("its sample 'tall' was made from another picture")
    make_dataset()
    shutil.rmtree(model)
    write_clip(model, image_size=64, patch_size=16, layers=6)
    refused("weights is", "--layer-index", "3")

    apiprompt(*flags, "--layer-index", "3", "--overwrite")
    assert snapshot(folder) != before
    assert "nothing left to do" in apiprompt(*flags, "--layer-index", "3").stderr


def test_a_dataset_that_grew_keeps_its_results(make_dataset, apiprompt):
    flags = (*FLAGS, "--data-root", make_dataset(("square", "wide")))
    apiprompt(*flags)
    make_dataset(("square", "wide", "tall"))
    assert "2 of 3 samples are finished already" in apiprompt(*flags).stderr


@pytest.mark.process
def test_two_processes_on_one_folder_leave_one_row_a_key(many, tmp_path):
    flags = (*FLAGS, "--data-root", many, "--output-folder", "out")
    processes = [start(tmp_path, *flags) for _ in range(2)]
    folders = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    [folder] = folders
    rows = read_json_lines(tmp_path / folder / "metadata.jsonl")
    assert sorted(row["index"] for row in rows) == list(range(240))
    assert not list((tmp_path / folder).glob("*.tmp"))


def test_a_run_folder_opens_as_a_hugging_face_image_folder(make_dataset, apiprompt, tmp_path):
    root = make_dataset(image=["a", "b", "c"], label=[1, 2, 3], tags=[["x"], [], ["y", "z"]])
    process = apiprompt(*FLAGS, "--data-root", root, "--output-folder", "out")
    folder = tmp_path / process.stdout.strip()
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded["key"] == ["square", "wide", "tall"]
    assert loaded["tags"][2] == ["y", "z"]
    assert loaded["dataset_image"] == ["a", "b", "c"]
    assert loaded[1]["image"].size == (350, 211)


def test_an_unwritable_output_folder_is_one_clear_line(make_dataset, apiprompt, tmp_path):
    (tmp_path / "taken").write_text("a file")
    process = apiprompt(*FLAGS, "--data-root", make_dataset(), "--output-folder", "taken", status=1)
    assert "taken" in process.stderr
    assert "Traceback" not in process.stderr


def test_run_yaml_runs_again(make_dataset, apiprompt, tmp_path):
    root = make_dataset()
    flags = (*FLAGS, "--data-root", root, "--enhance-coe", "1,5", "--grayscale", "90")
    folder = apiprompt(*flags).stdout.splitlines()[1]
    record = tmp_path / "record.yaml"
    shutil.copy(tmp_path / folder / "run.yaml", record)
    shutil.rmtree(tmp_path / "experiments")
    assert apiprompt("clip", "--config", record).stdout.splitlines() == [folder]
    assert len(list((tmp_path / folder).glob("*.jpg"))) == 3
