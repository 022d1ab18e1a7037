"""Datasets from disk: the authors' layouts, and what is said of files that are not so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from datasets_manager import DatasetError, available_datasets, canonical_name, get_dataset
from tests.conftest import clean_environment, faults_of, write_json_lines
from tests.layouts import write_llava_wild, write_mm_vet


def test_mm_vet_keeps_the_authors_keys_and_fields(tmp_path, photographs):
    write_mm_vet(tmp_path / "mm-vet", photographs)
    samples = get_dataset("mm-vet", tmp_path)
    assert [(s.key, s.index, Path(str(s.image)).name) for s in samples] == [
        ("v1_0", 0, "v1_0.jpg"), ("v1_1", 1, "v1_1.png"),
    ]  # fmt: skip
    assert samples[0].question == "What is x in the equation?"
    assert samples[0].extra["answer"] == "7<AND>seven<OR>VII"
    assert samples[0].read_image() == photographs["wide"].read_bytes()


def test_llava_wild_counts_its_questions(tmp_path, photographs):
    write_llava_wild(tmp_path / "LLaVA_Wild" / "llava-bench-in-the-wild", photographs)
    samples = get_dataset("llava-wild", tmp_path)
    assert [s.key for s in samples] == ["0", "1"]
    assert samples[1].question == "Describe this photo in detail, and \u2028 the mood."
    assert samples[1].extra["question_id"] == 1


def test_an_image_folder_takes_keys_or_counts(tmp_path):
    rows = [
        {"file_name": "a.png", "question": "one?", "key": "first", "note": {"deep": [1]}},
        {"file_name": "sub/b.png", "question": "two?", "key": None},
        {"file_name": "sub/b.png", "question": "three?"},
    ]
    write_json_lines(tmp_path / "metadata.jsonl", rows)
    samples = get_dataset("image_folder", tmp_path)
    assert [s.key for s in samples] == ["first", "1", "2"]
    assert samples[0].extra == {"note": {"deep": [1]}}
    assert samples[1].image == tmp_path / "sub" / "b.png"


def test_the_demo_set_is_whole():
    samples = get_dataset("demo")
    assert len(samples) == 64
    for sample in samples:
        assert sample.read_image()[:2] == b"\xff\xd8"
        assert {"answer", "box", "objects"} <= sample.extra.keys()
        assert sample.extra["box"] in [o["box"] for o in sample.extra["objects"]]


@pytest.mark.parametrize("name", ["MMVet", "mm_vet", "MM-VET", "llava_wild", "LLaVA-Wild", "Demo"])
def test_names_forgive_case_and_hyphens(name):
    assert canonical_name(name) in {info.name for info in available_datasets()}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"metadata\.jsonl not found in .*; write one line an image: .*--data-root"),
        ('{"file_name": "a.png"}\n', r"jsonl: no 'question' in any row \(there are: 'file_name'\)"),
        ('{"question": "?"}\n{"question": "?"}', r"jsonl: no 'file_name' in any row"),
        ('{"file_na', r"line 1: not valid JSON"),
        ("[1]\n[2]", r"line 1: expected an object in braces"),
        (b"\xff\xfe\x00", "line 1: cannot be read"),
    ],
)
def test_annotations_that_are_none_are_named_with_their_place(content, says, tmp_path):
    if content is not None:
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "metadata.jsonl").write_bytes(content)
    with pytest.raises(DatasetError, match=says):
        get_dataset("imagefolder", tmp_path)


def test_mm_vet_that_is_not_so_is_named(tmp_path):
    folder = tmp_path / "mm-vet"
    folder.mkdir()
    with pytest.raises(DatasetError, match=r"mm-vet\.json not found in .*mm-vet; get mm-vet\.zip"):
        get_dataset("mmvet", tmp_path)
    (folder / "mm-vet.json").write_text("[]")
    with pytest.raises(DatasetError, match="expected an object of samples, got a list"):
        get_dataset("mmvet", tmp_path)
    (folder / "mm-vet.json").write_text(json.dumps({"v1_0": {"imagename": "a.png"}}))
    with pytest.raises(DatasetError, match=r"mm-vet\.json: no 'question' in any row"):
        get_dataset("mmvet", tmp_path)


def test_a_row_of_mm_vet_that_is_not_so_is_one_samples_fault(tmp_path, photographs):
    write_mm_vet(tmp_path / "mm-vet", photographs)
    path = tmp_path / "mm-vet" / "mm-vet.json"
    rows = json.loads(path.read_text())
    broken = {
        "null": rows["v1_0"] | {"question": None},
        "list": rows["v1_0"] | {"question": ["what?"]},
        "up": rows["v1_0"] | {"imagename": "../../secret.png"},
        "text": "no object",
    }
    path.write_text(json.dumps(rows | broken))
    samples = get_dataset("mmvet", tmp_path)
    assert [s.key for s in samples if s.fault is None] == ["v1_0", "v1_1"]
    assert [fault.split("mm-vet.json, ")[1] for fault in faults_of(samples).values()] == [
        "null: question is empty",
        "list: question is no text but a list: ['what?']",
        "up: imagename '../../secret.png' leads out of the folder",
        "text: expected an object in braces, got 'no object'",
    ]


def test_a_dataset_is_one_file_and_nothing_else(tmp_path):
    """A new file in the package is found; nobody has to name it anywhere."""
    script = """
import datasets_manager, pathlib, sys
datasets_manager.__path__.append(sys.argv[1])
[sample] = datasets_manager.get_dataset("tiny-set")
print(sample.key, sample.question)
"""
    (tmp_path / "tiny.py").write_text("""
from datasets_manager.base import Sample
from datasets_manager.registry import register

@register("tiny_set", about="one sample", home="-", licence="-")
def load(root, options):
    yield Sample("a", 0, b"", "what?")
""")
    process = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=True,
    )
    assert process.stdout == "a what?\n"


def test_datasets_knows_nothing_of_the_program():
    script = (
        "import sys, datasets_manager; datasets_manager.available_datasets()\n"
        "sys.exit(any(name.split('.')[0] in ('api_cli', 'torch') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", script], env=clean_environment(), check=True)
