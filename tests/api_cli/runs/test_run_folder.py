"""Names and ledgers: what keys from anywhere may do to a run folder, and what they may not."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from api_cli.errors import RunFolderError
from api_cli.runs.names import safe_name
from api_cli.runs.run_folder import RunFolder, finished_keys

HARMLESS = ["v1_0", "0", "猫の写真", "a b", "COCO_val2014_000000001.x", "données"]
HARMFUL = [
    "", ".", "..", "../up", "/etc/passwd", "a/b", "a\\b", "a\nb", "nul\0", "CON", "con.txt", "LPT1",
    ".hidden", "trailing.", " space", "space ", "x" * 300, "é" * 100, "a:b", 'q"?*<>|',
    "\ud800", unicodedata.normalize("NFD", "données"), "a~0123456789abcdef", "\u202eevil",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return open_folder(tmp_path / "run")


def open_folder(path: Path, **settings) -> RunFolder:
    return RunFolder(path, {"fit": "paper", **settings}, {}, image_format="png")


def finish(folder: RunFolder, key: str, content: bytes = b"picture") -> None:
    names = folder.save_images(key, {"file_name": content})
    folder.add({**names, "key": key, "question": "?", "image_sha256": "0"})


@pytest.mark.parametrize("key", HARMLESS)
def test_harmless_keys_are_their_files_names(key):
    assert safe_name(key) == key


@pytest.mark.parametrize("key", HARMFUL)
def test_harmful_keys_land_safely_inside_the_folder(key, folder, tmp_path):
    finish(folder, key)
    [image] = folder.path.glob("*.png")
    assert image.parent == folder.path
    assert image.read_bytes() == b"picture"
    assert len(image.name.encode()) <= 160
    assert key in open_folder(folder.path)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_two_keys_never_share_a_file():
    keys = [*HARMLESS, *HARMFUL, *map(safe_name, HARMFUL), "x" * 301, "a?b", "a*b", "a_b"]
    names = {key: safe_name(key) for key in keys}
    assert len(set(names.values())) == len(names)


def test_a_key_is_entered_once(folder):
    finish(folder, "a", b"one")
    finish(folder, "a", b"two")
    assert len((folder.path / "metadata.jsonl").read_text().splitlines()) == 1


def test_a_failure_is_replaced_and_taken_back(folder):
    errors = folder.path / "errors.jsonl"
    folder.fail({"key": "a", "index": 0, "stage": "read", "error": "first"})
    folder.fail({"key": "b", "index": 1, "stage": "read", "error": "other"})
    folder.fail({"key": "a", "index": 0, "stage": "render", "error": "second"})
    rows = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [(row["key"], row["error"]) for row in rows] == [("b", "other"), ("a", "second")]
    finish(folder, "a")
    finish(folder, "b")
    assert not errors.exists(), "present only if there are any"


def test_writers_of_one_folder_see_each_others_rows(folder):
    other = open_folder(folder.path)
    finish(folder, "a")
    finish(other, "a")
    finish(other, "b")
    finish(folder, "b")
    finish(folder, "c")
    rows = (folder.path / "metadata.jsonl").read_text().splitlines()
    assert [json.loads(row)["key"] for row in rows] == ["a", "b", "c"]


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_half_written_row_is_dropped_and_harms_no_other(cut, folder):
    for key in "abc":
        finish(folder, key)
    manifest = folder.path / "metadata.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-cut])
    reopened = open_folder(folder.path)
    assert set(reopened) >= {"a", "b"}
    finish(reopened, "c")
    finish(reopened, "d")
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert [row["key"] for row in rows] == ["a", "b", "c", "d"]


def test_leftovers_of_killed_processes_are_removed(folder):
    half = folder.path / ".another-host.1.1.tmp"
    half.write_bytes(b"half")
    open_folder(folder.path)
    assert not half.exists()


def test_a_folder_that_is_not_a_runs_is_left_alone(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "key": "a"}\n')
    with pytest.raises(RunFolderError, match=r"has a manifest but no run\.yaml"):
        open_folder(tmp_path)
    (tmp_path / "run.yaml").write_text("nonsense")
    with pytest.raises(RunFolderError, match="is not a record of a run"):
        open_folder(tmp_path)


def test_overwriting_leaves_what_is_not_a_runs(folder):
    finish(folder, "a")
    (folder.path / "notes.txt").write_text("mine")
    RunFolder(folder.path, {"fit": "pad"}, {}, image_format="png", overwrite=True)
    assert sorted(path.name for path in folder.path.glob("[!.]*")) == ["notes.txt", "run.yaml"]


def test_finished_keys_are_read_without_touching_anything(folder, tmp_path):
    finish(folder, "a")
    before = sorted(folder.path.iterdir())
    assert finished_keys(folder.path) == {"a"}
    assert sorted(folder.path.iterdir()) == before
    assert finished_keys(tmp_path / "nowhere") == set()
    assert not (tmp_path / "nowhere").exists()
