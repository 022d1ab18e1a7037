"""Other people's datasets: an example package, installed as its users would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from api_cli.errors import UsageError
from api_cli.options.clip import ClipConfig
from datasets_manager import DatasetError, DatasetOptions, canonical_name, get_dataset
from tests.conftest import clean_environment, read_json_lines

EXAMPLE = Path(__file__).parents[1] / "example_plugin"


@pytest.mark.slow
def test_an_installed_package_brings_its_dataset(apiprompt, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(EXAMPLE, tmp_path / "source")  # building leaves nothing in the checkout
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    subprocess.run([sys.executable, *pip, "--target", site, tmp_path / "source"], check=True)
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    assert "3 drawn shapes" in apiprompt("datasets", **environment).stdout
    process = apiprompt("clip", "--dataset", "Circles", "--model-name", "demo", **environment)
    [folder] = process.stdout.splitlines()
    assert folder.startswith("experiments/APICLIP_shapes_demo_")
    rows = read_json_lines(tmp_path / folder / "metadata.jsonl")
    assert [(row["key"], row["answer"]) for row in rows] == [
        ("red", "left"), ("green", "left"), ("blue", "left"),
    ]  # fmt: skip


def test_a_marked_function_is_a_dataset(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("""
from datasets_manager import Sample, loader

@loader
def load(root, options):
    yield Sample("a", 0, root / "a.png", options.question or "what?")

@loader
def fails(root, options):
    return [{}["a"]]

@loader
def wrong(root, options):
    return ["a"]

def unmarked(root, options):
    root.rmdir()

number = 3
""")
    monkeypatch.syspath_prepend(tmp_path)
    samples = get_dataset("mine:load", tmp_path, DatasetOptions(question="where?"))
    assert (samples.name, samples[0].question) == ("mine:load", "where?")
    assert samples[0].image == tmp_path / "a.png"
    for name, says in (
        ("mine:lod", "'mine:lod' cannot be imported: AttributeError: .*lod"),
        ("mime:load", "'mime:load' cannot be imported: ModuleNotFoundError.*PYTHONPATH"),
        ("mine:number", "is no function, but a int"),
        ("mine:unmarked", "'mine:unmarked' is not called: mark it as a loader .*@loader above"),
    ):
        with pytest.raises(DatasetError, match=says):
            canonical_name(name)
    with pytest.raises(
        DatasetError, match=r"mine:fails failed: KeyError: 'a' \(.*mine\.py, line 10"
    ):
        get_dataset("mine:fails", tmp_path)
    with pytest.raises(DatasetError, match="mine:wrong: expected samples, got 'a'"):
        get_dataset("mine:wrong", tmp_path)


@pytest.mark.process
def test_the_examples_function_says_what_it_finds(tmp_path):
    """In a process of its own, since the example enters a set into the table as well."""
    (tmp_path / "colours.txt").write_text("red\n\ntan\nblue\n")
    script = (
        "import sys\nfrom datasets_manager import get_dataset\n"
        "samples = get_dataset('apiprompt_shapes:squares', sys.argv[1])\n"
        "for s in samples: print(s.key, s.fault, s.read_image()[:4])\n"
        "print(samples.notes)"
    )
    paths = [str(EXAMPLE), os.environ.get("PYTHONPATH", "")]
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=clean_environment() | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.splitlines() == [
        "red None b'\\x89PNG'",
        "tan colours.txt: 'tan' is no colour b'\\x89PNG'",
        "blue None b'\\x89PNG'",
        "['left out: 1 empty lines of colours.txt']",
    ]


@pytest.mark.parametrize(
    "name", ["shutil:rmtree", "os:removedirs", "antigravity:geohash", "xml.dom.minidom:parse"]
)
def test_nothing_is_imported_or_called_that_is_no_loader(name, tmp_path, monkeypatch):
    (tmp_path / "antigravity.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "xml.dom.minidom", raising=False)
    with pytest.raises(DatasetError, match="has no loaders of datasets, so it is not imported"):
        get_dataset(name, tmp_path)
    assert not {"antigravity", "xml.dom.minidom"} & sys.modules.keys()
    assert tmp_path.is_dir()


def test_a_configuration_names_nothing_but_loaders(tmp_path):
    root = tmp_path / "mine"
    root.mkdir()
    file = tmp_path / "c.yaml"
    file.write_text(f"dataset: shutil:rmtree\ndata_root: {root}\n")
    variables = {"APIPROMPT_DATASET": "shutil:rmtree", "APIPROMPT_DATA_ROOT": str(root)}
    for environment, config_file in (({}, str(file)), (variables, None)):
        with pytest.raises(UsageError, match="shutil has no loaders of datasets"):
            ClipConfig.resolve({}, environment, config_file)
    assert root.is_dir()


def test_a_function_under_an_entry_point_needs_no_mark(tmp_path, monkeypatch):
    folder = tmp_path / "bare-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: bare\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[apiprompt.datasets]\nbare = bare:load\n")
    (tmp_path / "bare.py").write_text("load = lambda root, options: []")
    monkeypatch.syspath_prepend(tmp_path)
    assert len(get_dataset("bare:load", tmp_path)) == 0


def test_a_broken_package_leaves_the_other_datasets_alone(tmp_path):
    folder = tmp_path / "broken-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[apiprompt.datasets]\nbroken = nowhere:load\n")
    script = "import datasets_manager; print(len(datasets_manager.get_dataset('demo')))"
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=clean_environment() | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout == "64\n"
    assert "plug-in broken (nowhere:load) is left out: ModuleNotFoundError" in process.stderr
