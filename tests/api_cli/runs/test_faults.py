"""One sample's fault is one row of the ledger, whether it is found in listing or in reading."""

from __future__ import annotations

import os
import shutil

from tests.conftest import read_json_lines, write_json_lines

MINE = """
from collections.abc import Mapping
from datasets_manager import Note, Sample, loader

class Broken(Mapping):
    def __getitem__(self, name): raise RuntimeError("the server is asleep")
    def __iter__(self): raise RuntimeError("the server is asleep")
    def __len__(self): raise RuntimeError("the server is asleep")

def no_key(): return {}["picture"]
def no_bytes(): return None

@loader
def load(root, options):
    picture = root / "wide.jpg"
    yield Sample("good", 0, picture, "Where is the cat?", {"answer": "left"})
    yield Sample("no-key", 1, no_key, "Where is the cat?")
    yield Sample("no-bytes", 2, no_bytes, "Where is the cat?")
    yield Sample("asleep", 3, picture, "Where is the cat?", Broken())
    yield Sample("known", 4, picture, "Where is the cat?", fault="a.csv, line 5: half a row")
    yield Sample("good", 5, root / "tall.png", "Where is the cup?")
    yield Sample("silent", 6, picture, "<image> ")
    yield Sample("last", 7, picture, "Where is the cat?")
    yield Note("left out: 3 films")
"""


def test_whatever_a_sample_raises_costs_one_row(apiprompt, make_dataset, tmp_path):
    root = make_dataset(("wide", "tall"))
    (root / "mine.py").write_text(MINE)
    environment = {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    flags = ("--data-root", root, "--dataset", "mine:load", "--model-name", "demo")
    folder = None
    for done in ("2 samples finished", "0 samples finished"):  # a run, and a resume
        process = apiprompt("clip", *flags, status=3, **environment)
        assert done in process.stderr
        assert process.stderr.count("left out: 3 films\n") == 1
        folder = tmp_path / process.stdout.strip()
        rows = read_json_lines(folder / "metadata.jsonl")
        assert [(row["key"], row["index"]) for row in rows] == [("good", 0), ("last", 7)]
        failed = read_json_lines(folder / "errors.jsonl")
        assert [(row["key"], row["index"], row["stage"]) for row in failed] == [
            ("no-key", 1, "read"), ("no-bytes", 2, "read"), ("asleep", 3, "read"),
            ("known", 4, "list"), ("good (sample 5)", 5, "list"), ("silent", 6, "list"),
        ]  # fmt: skip
        for row, says in zip(
            failed,
            ["KeyError: 'picture'", "TypeError", "RuntimeError: the server is asleep",
             "a.csv, line 5: half a row", "samples 0 and 5 share the key 'good'",
             "the question is empty"],
            strict=True,
        ):  # fmt: skip
            assert says in row["error"]
    checked = apiprompt(
        "datasets", "check", "mine:load", "--data-root", root, status=3, **environment
    )
    assert [line.split(" (sample")[0] for line in checked.stdout.splitlines()] == [
        row["key"].split(" (sample")[0] for row in failed
    ]
    assert "6 of 8 samples are not as they should be" in checked.stderr
    shown = apiprompt(
        "datasets", "show", "mine:load", "--data-root", root, "--range", 3, 6, **environment
    )
    assert "fault: RuntimeError: the server is asleep" in shown.stdout
    assert "fault: a.csv, line 5: half a row" in shown.stdout
    assert "left out: 3 films" in shown.stderr


def test_a_repeated_key_leaves_the_first_ones_picture_alone(apiprompt, make_dataset, tmp_path):
    root = make_dataset(("wide", "tall"), key=["a", "a"])
    flags = ("clip", "--dataset", "imagefolder", "--model-name", "demo", "--data-root", root)
    first = apiprompt(*flags, "--range", 0, 1)
    folder = tmp_path / first.stdout.strip()
    picture = (folder / "a.jpg").read_bytes()
    apiprompt(*flags, status=3)
    assert (folder / "a.jpg").read_bytes() == picture
    assert [row["key"] for row in read_json_lines(folder / "metadata.jsonl")] == ["a"]
    [failed] = read_json_lines(folder / "errors.jsonl")
    assert failed["key"] == "a (sample 1)"
    rows = read_json_lines(root / "metadata.jsonl")
    write_json_lines(root / "metadata.jsonl", [rows[0], rows[1] | {"key": "b"}])
    apiprompt(*flags)
    assert [row["key"] for row in read_json_lines(folder / "metadata.jsonl")] == ["a", "b"]


def test_a_folder_of_photographs_is_masked_with_its_own_results_in_it(
    apiprompt, photographs, tmp_path
):
    """The quickest start of all: in the folder itself, with the default output folder."""
    for name in ("wide", "tall"):
        shutil.copy(photographs[name], tmp_path)
    (tmp_path / "notes.docx").write_bytes(b"-")
    flags = ("clip", "--dataset", "imagefolder", "--data-root", ".", "--model-name", "demo",
             "--question", "Where is the cat?", "--save-maps")  # fmt: skip
    folder = tmp_path / apiprompt(*flags).stdout.strip()
    again = apiprompt(*flags)
    assert "nothing left to do: all 2 samples are finished" in again.stderr
    assert "1 file of unknown kind (.docx)" in again.stderr
    assert "1 folder of this program's results (experiments/APICLIP_" in again.stderr
    assert [row["key"] for row in read_json_lines(folder / "metadata.jsonl")] == ["tall", "wide"]
