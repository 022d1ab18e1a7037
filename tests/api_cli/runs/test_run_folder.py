"""Run folders: one row a key whatever happens, and nothing of the user's own is touched."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from api_cli.errors import RunFolderError
from api_cli.runs.names import SampleNames
from api_cli.runs.run_folder import RunFolder, finished_keys
from tests.conftest import read_json_lines, write_json_lines

HARMFUL = ["", "..", "../up", "/etc/passwd", "a/b", "a\nb", "nul\0", "x" * 300, "\ud800", "test"]


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return open_folder(tmp_path / "run")


def open_folder(path: Path, *, overwrite: bool = False, **settings: Any) -> RunFolder:
    names = settings.pop("names", None)
    settings = {"fit": "paper", "format": "png", **settings}
    return RunFolder(path, settings, {}, image_format="png", names=names, overwrite=overwrite)


def finish(folder: RunFolder, key: str, content: bytes = b"picture", **columns: Any) -> None:
    names = folder.save_images(key, {"file_name": content})
    folder.add({**names, "key": key, "question": "?", "image_sha256": "0", **columns})


def keys(folder: RunFolder) -> list[str]:
    return [row["key"] for row in read_json_lines(folder.path / "metadata.jsonl")]


def visible(folder: RunFolder) -> list[str]:
    return sorted(path.name for path in folder.path.glob("[!.]*"))


@pytest.mark.parametrize("key", HARMFUL)
def test_harmful_keys_land_safely_inside_the_folder(key, folder, tmp_path):
    finish(folder, key)
    folder.close()
    [image] = folder.path.glob("*.png")
    assert image.parent == folder.path
    assert image.read_bytes() == b"picture"
    assert len(image.name.encode()) <= 160
    assert key in folder
    assert key in open_folder(folder.path)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_key_that_is_no_unicode_is_no_other_key(folder):
    for key in ("caf\udce9", "caf\\udce9", "caf\\\\udce9", "café"):
        finish(folder, key, key.encode("utf-8", "surrogatepass"))
    folder.close()
    rows = read_json_lines(folder.path / "metadata.jsonl")
    assert len({row["key"] for row in rows}) == len({row["file_name"] for row in rows}) == 4
    assert rows[0]["key"].encode() == b"caf\\udce9"


def test_a_key_is_entered_once(folder):
    finish(folder, "a", b"one")
    finish(folder, "a", b"two")
    folder.close()
    assert keys(folder) == ["a"]


def test_rows_are_there_after_half_a_second_also_while_nothing_else_happens(folder):
    finish(folder, "a")
    folder.fail({"key": "b", "index": 1, "stage": "read", "error": "gone"})
    deadline = time.monotonic() + 20  # of a busy machine; half a second on an idle one
    while not (folder.path / "errors.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert keys(folder) == ["a"]


def test_many_rows_are_written_before_they_are_many(folder):
    for i in range(1000):
        folder.add({"file_name": "a.png", "key": str(i), "question": "?", "image_sha256": "0"})
    assert len(keys(folder)) == 1000


def test_a_failure_is_replaced_and_taken_back(folder):
    errors = folder.path / "errors.jsonl"
    folder.fail({"key": "a", "index": 0, "stage": "read", "error": "first"})
    folder.fail({"key": "b", "index": 1, "stage": "read", "error": "other"})
    folder.fail({"key": "a", "index": 0, "stage": "render", "error": "second"})
    folder.close()
    rows = read_json_lines(errors)
    assert [(row["key"], row["error"]) for row in rows] == [("b", "other"), ("a", "second")]
    again = open_folder(folder.path)
    finish(again, "a")
    again.close()
    assert [row["key"] for row in read_json_lines(errors)] == ["b"]
    finish(again, "b")
    again.close()
    assert not errors.exists(), "present only if there are any"


def test_mending_costs_no_more_than_failing(folder):
    number = 20_000
    for i in range(number):
        folder.fail({"key": str(i), "index": i, "stage": "read", "error": "OSError: gone"})
    folder.close()
    again = open_folder(folder.path)
    start = time.process_time()
    for i in range(number):
        again.add({"file_name": "a.png", "key": str(i), "question": "?", "image_sha256": "0"})
    again.close()
    assert time.process_time() - start < 6, "linear takes 1 s, quadratic minutes"
    assert not (folder.path / "errors.jsonl").exists()


def test_writers_of_one_folder_see_each_others_rows(folder):
    other = open_folder(folder.path)
    for writer, key in [(folder, "a"), (other, "a"), (other, "b"), (folder, "b"), (folder, "c")]:
        finish(writer, key)
        writer.close()
    assert keys(folder) == ["a", "b", "c"]


def test_a_failure_that_another_process_mends_is_gone(folder):
    other = open_folder(folder.path)
    for writer in (folder, other):
        writer.fail({"key": "a", "index": 0, "stage": "read", "error": "gone"})
        writer.close()
    assert len(read_json_lines(folder.path / "errors.jsonl")) == 1
    finish(other, "a")
    other.close()
    assert not (folder.path / "errors.jsonl").exists()
    finish(folder, "b")
    folder.close()
    assert not (folder.path / "errors.jsonl").exists()


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_half_written_row_is_dropped_and_harms_no_other(cut, folder):
    for key in "abc":
        finish(folder, key)
    folder.close()
    manifest = folder.path / "metadata.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-cut])
    reopened = open_folder(folder.path)
    assert set(reopened) >= {"a", "b"}
    finish(reopened, "c")
    finish(reopened, "d")
    reopened.close()
    assert keys(folder) == ["a", "b", "c", "d"]


def test_a_row_torn_by_another_process_harms_no_other(folder):
    finish(folder, "a")
    folder.close()
    for name in ("metadata.jsonl", "errors.jsonl"):
        with (folder.path / name).open("a") as file:
            file.write('{"key": "half')
    finish(folder, "b")
    folder.fail({"key": "c", "index": 1, "stage": "read", "error": "gone"})
    folder.close()
    assert set(open_folder(folder.path)) == {"a", "b"}
    assert [row["key"] for row in read_json_lines(folder.path / "errors.jsonl")] == ["c"]


def test_a_full_disk_is_heard_of_and_costs_no_row(folder):
    finish(folder, "a")
    manifest = folder.path / "metadata.jsonl"
    manifest.mkdir()  # what cannot be written to
    time.sleep(0.6)  # the timer's thread tried
    with pytest.raises(OSError, match=r"metadata\.jsonl"):
        finish(folder, "b")
    manifest.rmdir()
    folder.close()
    assert keys(folder) == ["a", "b"]


def test_leftovers_of_killed_processes_are_removed(folder):
    dead = folder.path / f".{socket.gethostname()}.999999999.1.tmp"
    elsewhere = folder.path / ".another-host.1.1.tmp"
    dead.write_bytes(b"half")
    elsewhere.write_bytes(b"half")
    open_folder(folder.path)
    assert not dead.exists()
    assert elsewhere.exists(), "may be at work"


@pytest.mark.parametrize("name", [["a.png"], None, {"a": 1}, 3, "gone.png"])
def test_a_row_that_names_no_picture_is_made_again(name, folder):
    finish(folder, "a")
    finish(folder, "b")
    folder.close()
    rows = read_json_lines(folder.path / "metadata.jsonl")
    write_json_lines(folder.path / "metadata.jsonl", [rows[0] | {"file_name": name}, rows[1]])
    assert finished_keys(folder.path) == {"b"}
    assert set(open_folder(folder.path)) == {"b"}


@pytest.mark.parametrize(
    "record",
    [
        "nonsense",
        "settings: [1, 2]",
        "settings: abc",
        "settings:",
        "[]",
        "a: [",
        "\0",
        "- settings",
    ],
)
def test_a_record_that_is_none_is_one_clear_line(record, folder):
    folder.close()
    (folder.path / "run.yaml").write_text(record)
    with pytest.raises(RunFolderError, match="is not a record of a run"):
        open_folder(folder.path)


def test_a_folder_that_is_not_a_runs_is_left_alone(tmp_path):
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.png", "key": "a"}\n')
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(RunFolderError, match=r"has a manifest but no run\.yaml"):
        open_folder(tmp_path)
    open_folder(tmp_path, overwrite=True)
    assert (tmp_path / "a.png").read_bytes() == b"mine"


def test_overwriting_leaves_what_is_not_a_runs(folder, tmp_path):
    finish(folder, "a")
    for suffix in (".npy", ".cls_map.jpg", ".patch_map.jpg"):
        folder.save_beside("a", suffix, b"map")
    folder.close()
    mine = ["notes.txt", "contact_sheet.png", "figure.jpg", "embeddings.npy", "a.jpg", "b.png"]
    for name in mine:
        (folder.path / name).write_text("mine")
    elsewhere = tmp_path / "elsewhere.png"
    elsewhere.write_text("mine")
    rows = read_json_lines(folder.path / "metadata.jsonl")
    for key, name in [("x", "../elsewhere.png"), ("y", "link.png"), ("z", "notes.txt")]:
        rows.append(rows[0] | {"key": key, "file_name": name})
    write_json_lines(folder.path / "metadata.jsonl", rows)
    (folder.path / "link.png").symlink_to(elsewhere)
    (folder.path / "killed.png").write_text("written just before its row")
    names = SampleNames(["a", "killed"])
    again = open_folder(folder.path, overwrite=True, fit="pad", names=names)
    assert visible(again) == sorted([*mine, "README.md", "link.png", "run.yaml"])
    assert elsewhere.read_text() == "mine"


def test_a_folder_is_not_replaced_or_begun_anew_under_a_living_run(folder):
    finish(folder, "a")
    for key in ("run.yaml", "metadata.jsonl"):
        with pytest.raises(RunFolderError, match="another run is at work in"):
            open_folder(folder.path, overwrite=True)
        (folder.path / key).unlink(missing_ok=True)
    with pytest.raises(RunFolderError, match="another run is at work in"):
        open_folder(folder.path, fit="pad")
    folder.close()
    open_folder(folder.path, overwrite=True, fit="pad")


def test_a_run_whose_folder_is_deleted_writes_nothing_into_the_next_ones(folder):
    finish(folder, "a")
    shutil.rmtree(folder.path)
    other = open_folder(folder.path, fit="pad")
    with pytest.raises(RunFolderError, match="was deleted, or begun anew"):
        finish(folder, "b")
    with pytest.raises(RunFolderError, match="was deleted, or begun anew"):
        folder.close()
    finish(other, "c")
    other.close()
    assert keys(other) == ["c"]
    assert list(other.path.glob("*.png")) == [other.path / "c.png"]


def test_what_was_finished_under_another_name_keeps_it(folder):
    finish(folder, "val_1")
    folder.close()
    [row] = read_json_lines(folder.path / "metadata.jsonl")
    (folder.path / row["file_name"]).rename(folder.path / "val_1.png")
    (folder.path / "val_1.npy").write_bytes(b"map")
    write_json_lines(folder.path / "metadata.jsonl", [row | {"file_name": "val_1.png"}])
    again = open_folder(folder.path)
    assert again.has_beside("val_1", ".npy")
    assert again.save_images("val_1", {"file_name": b"new"}) == {"file_name": "val_1.png"}


def test_stamps_are_kept_beside_the_rows_and_merely_a_cache(folder):
    names = folder.save_images("a", {"file_name": b"picture"})
    row = {**names, "key": "a", "question": "?", "image_sha256": "0"}
    folder.add(row, "stamp 1")
    folder.close()
    again = open_folder(folder.path)
    assert again.knows("a", "stamp 1")
    assert not again.knows("a", "stamp 2")
    assert not again.knows("a", None)
    assert not again.knows("b", "stamp 1")
    again.confirm("a", "stamp 2")
    again.close()
    assert open_folder(folder.path).knows("a", "stamp 2")
    for damage in (b"{", b"[]", b'{"a": 1}', b"\xff"):
        (folder.path / ".sources.json").write_bytes(damage)
        assert not open_folder(folder.path).knows("a", "stamp 2")


def test_finished_keys_are_read_without_touching_anything(folder, tmp_path):
    finish(folder, "a")
    folder.close()
    before = sorted(folder.path.iterdir())
    assert finished_keys(folder.path) == {"a"}
    assert sorted(folder.path.iterdir()) == before
    assert finished_keys(tmp_path / "nowhere") == set()
    assert not (tmp_path / "nowhere").exists()


READ_ONLY = """
import os, sys
from pathlib import Path
from api_cli.runs.run_folder import RunFolder
os.setuid(65534)
settings = {"fit": "paper", "format": "png"}
folder = RunFolder(Path(sys.argv[1]), settings, {}, image_format="png")
print(list(folder))
folder.close()
try:
    folder.save_images("b", {"file_name": b"picture"})
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.process
@pytest.mark.skipif(os.getuid() != 0, reason="becomes nobody, which is root's to do")
def test_a_folder_that_cannot_be_written_to_is_read(folder, tmp_path):
    finish(folder, "a")
    folder.close()
    before = {path: path.stat().st_mtime_ns for path in folder.path.iterdir()}
    for path in [*tmp_path.parents][:3]:
        path.chmod(0o755)
    tmp_path.chmod(0o755)
    folder.path.chmod(0o555)
    process = subprocess.run(
        [sys.executable, "-c", READ_ONLY, folder.path], capture_output=True, text=True, check=False
    )
    assert process.stdout.split() == ["['a']", "PermissionError"], process.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.path.iterdir()} == before
