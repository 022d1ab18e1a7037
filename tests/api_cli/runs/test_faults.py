"""One sample's fault is one row of the ledger, whether it is found in listing or in reading."""

from __future__ import annotations

import shutil

import pytest

from api_cli.console import Console
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.pages.datasets import describe, find_faults, open_samples
from api_cli.runs.run import run
from tests.conftest import read_json_lines, write_json_lines

MOODY = """
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
SAYS = {
    "no-key": "KeyError: 'picture'",
    "no-bytes": "the picture is no bytes but a NoneType",
    "asleep": "RuntimeError: the server is asleep",
    "known": "a.csv, line 5: half a row",
    "good (sample 5)": "samples 0 and 5 share the key 'good'",
    "silent": "the question is empty",
}


def mask(root, out, **flags):
    """Mask an image folder in this process; the run folder, and the number of failures."""
    given = {"dataset": "imagefolder", "model_name": "demo", "data_root": str(root)}
    config = ClipConfig.resolve({**given, "output_folder": str(out), **flags}, {})
    [folder], report = run(config, Console(), Launch())
    return folder, report.failed if report else 0


@pytest.mark.model
def test_whatever_a_sample_raises_costs_one_row(make_dataset, tmp_path, monkeypatch, capsys):
    root = make_dataset(("wide", "tall"))
    (root / "moody.py").write_text(MOODY)
    monkeypatch.syspath_prepend(root)
    for finished in (2, 0):  # a run, and a resume
        folder, failed = mask(root, tmp_path / "out", dataset="moody:load")
        assert failed == 6
        said = capsys.readouterr().err
        assert said.count("left out: 3 films\n") == 1
        assert ("2 of 8 samples are finished already" in said) == (finished == 0)
        rows = read_json_lines(folder / "metadata.jsonl")
        assert [(row["key"], row["index"]) for row in rows] == [("good", 0), ("last", 7)]
        errors = {row["key"]: row for row in read_json_lines(folder / "errors.jsonl")}
        assert {key: (row["index"], row["stage"]) for key, row in errors.items()} == {
            "no-key": (1, "read"), "no-bytes": (2, "read"), "asleep": (3, "read"),
            "known": (4, "list"), "good (sample 5)": (5, "list"), "silent": (6, "list"),
        }  # fmt: skip
        for key, says in SAYS.items():
            assert says in errors[key]["error"]


def test_a_check_finds_what_a_run_does(make_dataset, monkeypatch, capsys):
    root = make_dataset(("wide", "tall"))
    (root / "moody.py").write_text(MOODY)
    monkeypatch.syspath_prepend(root)
    given = {"dataset": "moody:load", "data_root": str(root)}
    samples = open_samples(ClipConfig.resolve(given, {}), Console())
    assert capsys.readouterr().err == "left out: 3 films\n"
    faults = {sample.key: fault for sample, fault in find_faults(samples)}
    assert faults.keys() == SAYS.keys()
    assert all(says in faults[key] for key, says in SAYS.items())
    assert "fault: RuntimeError: the server is asleep" in describe(samples[3]).plain
    assert "fault: a.csv, line 5: half a row" in describe(samples[4]).plain


@pytest.mark.model
def test_a_repeated_key_leaves_the_first_ones_picture_alone(make_dataset, tmp_path):
    root, out = make_dataset(("wide", "tall"), key=["a", "a"]), tmp_path / "out"
    folder, failed = mask(root, out, range=(0, 1))
    assert failed == 0
    picture = (folder / "a.jpg").read_bytes()
    assert mask(root, out) == (folder, 1)
    assert (folder / "a.jpg").read_bytes() == picture
    assert [row["key"] for row in read_json_lines(folder / "metadata.jsonl")] == ["a"]
    [row] = read_json_lines(folder / "errors.jsonl")
    assert row["key"] == "a (sample 1)"
    rows = read_json_lines(root / "metadata.jsonl")
    write_json_lines(root / "metadata.jsonl", [rows[0], rows[1] | {"key": "b"}])
    assert mask(root, out) == (folder, 0)
    assert [row["key"] for row in read_json_lines(folder / "metadata.jsonl")] == ["a", "b"]


@pytest.mark.model
def test_a_folder_of_photographs_is_masked_with_its_own_results_in_it(
    photographs, tmp_path, monkeypatch, capsys
):
    """The quickest start of all: in the folder itself, with the default output folder."""
    for name in ("wide", "tall"):
        shutil.copy(photographs[name], tmp_path)
    (tmp_path / "notes.docx").write_bytes(b"-")
    monkeypatch.chdir(tmp_path)
    flags = {"question": "Where is the cat?", "save_maps": True}
    folder, _ = mask(".", "experiments", **flags)
    capsys.readouterr()
    assert mask(".", "experiments", **flags) == (folder, 0)
    said = capsys.readouterr().err
    assert "nothing left to do: all 2 samples are finished" in said
    assert said.count("1 file of unknown kind (.docx)") == 1
    assert "1 folder of this program's results (experiments/APICLIP_" in said
    assert [row["key"] for row in read_json_lines(folder / "metadata.jsonl")] == ["tall", "wide"]
