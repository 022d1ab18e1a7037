"""Tar shards: samples in the shards' order, pictures read from where they lie."""

from __future__ import annotations

import io
import json
import tarfile

import pytest

from datasets_manager import DatasetError, DatasetOptions, get_dataset
from tests.conftest import faults_of


def write_shard(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_shards_in_order_with_texts_or_json(tmp_path, photographs):
    wide, tall = photographs["wide"].read_bytes(), photographs["tall"].read_bytes()
    fields = json.dumps({"question": "two?", "answer": [2]}).encode()
    files = {"./0000.jpg": wide, "./0000.txt": b"one?\n", "./._0000.jpg": b"a Mac's"}
    write_shard(tmp_path / "a-0.tar", files)
    write_shard(tmp_path / "a-1.tar", {"x/1.json": fields, "x/1.PNG": tall})
    samples = get_dataset(f"webdataset:{tmp_path}/a-*.tar")
    assert [(s.key, s.index, s.question, s.extra) for s in samples] == [
        ("0000", 0, "one?", {}), ("x/1", 1, "two?", {"answer": [2]}),
    ]  # fmt: skip
    assert [s.read_image() for s in samples] == [wide, tall]
    for options, questions in (
        (DatasetOptions(question="why?"), ["why?", "why?"]),
        (DatasetOptions(question_column="answer"), ["one?", ""]),
    ):
        samples = get_dataset(f"webdataset:{tmp_path}/a-*.tar", options=options)
        assert [s.question for s in samples] == questions
    assert faults_of(samples)["x/1"].endswith("x/1.json: answer is no text but a list: [2]")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no file matches; expected a pattern like"),
        ({"a.jpg": b"-"}, r"s\.tar, a: no question: neither a\.txt nor 'question' in a\.json"),
        ({"a.txt": b"what?"}, r"s\.tar, a: no picture .*; there are: txt"),
        ({"a.jpg": b"-", "a.json": b'{"qu'}, r"s\.tar, a\.json: not valid JSON"),
        ({"a.jpg": b"-", "a.json": b"[]"}, r"s\.tar, a\.json: expected an object in braces"),
        ({"a.jpg": b"-", "a.txt": b"\xff"}, r"s\.tar, a: not a text in UTF-8"),
    ],
)
def test_shards_that_are_not_so_are_named(files, says, tmp_path):
    if files:
        write_shard(tmp_path / "s.tar", files)
    with pytest.raises(DatasetError, match=says):
        get_dataset(f"webdataset:{tmp_path}/*.tar")


def test_a_compressed_shard_is_refused(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w:gz"):
        pass
    with pytest.raises(DatasetError, match="cannot be read as an uncompressed tar"):
        get_dataset(f"webdataset:{tmp_path}/s.tar")


def test_braces_are_a_shells(tmp_path, photographs):
    picture = photographs["wide"].read_bytes()
    for n in ("08", "09", "10", "x"):
        write_shard(tmp_path / f"a-{n}.tar", {f"{n}.jpg": picture, f"{n}.txt": b"what?"})
    samples = get_dataset(f"webdataset:{tmp_path}/a-{{08..10}}.tar")
    assert [s.key for s in samples] == ["08", "09", "10"]
    samples = get_dataset(f"webdataset:{tmp_path}/a-{{x,09}}.tar")
    assert [s.key for s in samples] == ["x", "09"]
    with pytest.raises(DatasetError, match=r"no file matches .*a-11\.tar; expected"):
        get_dataset(f"webdataset:{tmp_path}/a-{{08..11}}.tar")
