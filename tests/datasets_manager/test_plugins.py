"""Other people's datasets: an example package, installed as its users would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_function_is_a_dataset(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("""
from datasets_manager import Sample

def load(root, options):
    yield Sample("a", 0, root / "a.png", options.question or "what?")

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
    ):
        with pytest.raises(DatasetError, match=says):
            canonical_name(name)


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
