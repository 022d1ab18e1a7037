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


def test_a_sample_that_is_not_so_is_one_samples_fault(tmp_path, photographs):
    picture, asked = photographs["wide"].read_bytes(), b"what?"
    good = json.dumps({"question": "what?"}).encode()
    files = {
        "0.png": picture, "0.txt": asked, "1.txt": asked, "2.bmp": picture, "2.txt": asked,
        "3.jpg": picture, "4.jpg": picture, "4.txt": b"caf\xe9?", "5.jpg": picture,
        "5.json": b'{"qu', "6.jpg": picture, "6.json": b"[]", "7.jpg": picture,
        "7.json": b'{"question": 7}', "8.jpg": picture, "8.json": good, "9.jfif": picture,
        "9.txt": b"", "10.jpg": picture, "10.json": b'{"question": null}', "10.txt": asked,
        "0.GIF": picture, "0.json": good,
    }  # fmt: skip
    write_shard(tmp_path / "s.tar", files)
    samples = get_dataset(f"webdataset:{tmp_path}/s.tar")
    assert [s.key for s in samples if s.fault is None] == ["0", "2", "8", "10"]
    says = [fault.split("s.tar, ")[-1] for fault in faults_of(samples).values()]
    assert [said.split(" (")[0] for said in says] == [
        "1: no picture that opens here; there are: txt",
        "3: no question: neither 3.txt nor 'question' in 3.json; or give one --question for all",
        "4: not a text in UTF-8: 'utf-8' codec can't decode byte 0xe9 in position 3: invalid "
        "continuation byte",
        "5.json: not valid JSON: Unterminated string starting at: line 1 column 2",
        "6.json: expected an object in braces, got []",
        "7.json: question is no text but a number: 7",
        "sample 9: the question is empty",
        "samples 0 and 11 share the key '0'; keys name result files, so give each its own",
    ]


def test_of_several_pictures_the_first_is_taken_and_the_others_counted(tmp_path, photographs):
    wide, tall = photographs["wide"].read_bytes(), photographs["tall"].read_bytes()
    files = {
        "0.seg.png": tall, "0.webp": tall, "0.jpg": wide, "0.txt": b"?", "0.cls": b"3",
        "1.tiff": wide, "1.depth.png": tall, "1.txt": b"?", "1.npy": b"-",
    }  # fmt: skip
    write_shard(tmp_path / "s.tar", files)
    samples = get_dataset(f"webdataset:{tmp_path}/s.tar")
    assert [s.read_image() for s in samples] == [wide, tall]
    [note] = samples.notes
    assert "3 further pictures of samples with several" in note
    assert "1 files .cls, 1 files .npy" in note


@pytest.mark.parametrize("eighth", range(9))
def test_a_shard_that_is_cut_gives_what_is_before_the_cut(eighth, tmp_path, photographs):
    """Ten samples of equal size; wherever the cut is, it is a row, and the rest is done."""
    picture = photographs["wide"].read_bytes()[:20_000].ljust(20_000, b"\0")
    files: dict[str, bytes] = {}
    for n in range(10):
        files |= {f"{n}.jpg": picture, f"{n}.txt": b"what?"}
    write_shard(tmp_path / "whole.tar", files)
    content = (tmp_path / "whole.tar").read_bytes()
    used = 10 * (512 + 20_480 + 512 + 512)
    (tmp_path / "s.tar").write_bytes(content[: used * eighth // 8] if eighth < 8 else content)
    if eighth == 0:
        with pytest.raises(DatasetError, match=r"s\.tar: cannot be read as an uncompressed tar"):
            get_dataset(f"webdataset:{tmp_path}/s.tar")
        return
    samples = get_dataset(f"webdataset:{tmp_path}/s.tar")
    done = [s.key for s in samples if s.fault is None]
    assert done == [str(n) for n in range(10 * eighth // 8)]
    assert all(s.read_image() == picture for s in samples if s.fault is None)
    assert len(faults_of(samples)) == (eighth < 8)
    assert all("cut short" in fault for fault in faults_of(samples).values())


def test_a_shard_cut_between_two_samples_says_so(tmp_path, photographs):
    picture = photographs["wide"].read_bytes()
    write_shard(tmp_path / "s.tar", {f"{n}.jpg": picture for n in range(2)})
    with (tmp_path / "s.tar").open("r+b") as file:
        file.truncate(512 + (len(picture) + 511) // 512 * 512)
    samples = get_dataset(f"webdataset:{tmp_path}/s.tar", options=DatasetOptions(question="?"))
    assert [(s.key, s.fault is None) for s in samples] == [("0", True), ("s.tar (cut)", False)]
    assert "cut short or damaged after its last sample" in faults_of(samples)["s.tar (cut)"]


def test_a_shard_that_is_none_is_one_fault_among_others(tmp_path, photographs):
    picture = photographs["wide"].read_bytes()
    (tmp_path / "a.tar").write_bytes(b"no tar at all")
    write_shard(tmp_path / "b.tar", {"b.jpg": picture, "b.txt": b"what?"})
    (tmp_path / "c.tar").write_bytes(b"")
    (tmp_path / "d.tar").mkdir()
    samples = get_dataset(f"webdataset:{tmp_path}/*.tar")
    assert [(s.key, s.fault is None) for s in samples] == [
        ("a.tar", False), ("b", True), ("c.tar", False), ("d.tar", False),
    ]  # fmt: skip
    assert "a.tar: cannot be read as an uncompressed tar" in faults_of(samples)["a.tar"]


def test_a_shard_that_is_cut_later_is_said_when_it_is_read(tmp_path, photographs):
    write_shard(tmp_path / "s.tar", {"a.jpg": photographs["wide"].read_bytes(), "a.txt": b"?"})
    [sample] = get_dataset(f"webdataset:{tmp_path}/s.tar")
    with (tmp_path / "s.tar").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(DatasetError, match=r"s\.tar: cut short at byte 1000"):
        sample.read_image()
    (tmp_path / "s.tar").unlink()
    with pytest.raises(FileNotFoundError):
        sample.read_image()


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
