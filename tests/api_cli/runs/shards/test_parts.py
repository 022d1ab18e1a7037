"""The parts of a sharded run: places, sinks, columns and names, without any model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api_cli.options.clip import ClipConfig
from api_cli.options.location import Url
from api_cli.runs.names import SampleNames
from api_cli.runs.shards.names import ShardName, numbers
from api_cli.runs.shards.place import Place
from api_cli.runs.shards.schema import Schema
from api_cli.runs.shards.sink import ShardSink, stems_of
from api_cli.runs.shards.spool import Spool


@pytest.fixture(params=["disk", "store"])
def place(tmp_path, request):
    if request.param == "disk":
        return Place(tmp_path / "run")
    return Place(Url(f"memory://parts/{tmp_path.name}"))


def test_a_file_is_there_whole_or_not_at_all(place):
    def cut_short(file):
        file.write(b"half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        (place / "data").write("a", cut_short)
    assert (place / "data").names() == []
    (place / "data").write("a", lambda file: file.write(b"whole"))
    (place / "data").write("b", b"bytes")
    assert sorted((place / "data").names()) == ["a", "b"]
    assert (place / "data").read("a") == b"whole"
    (place / "data").remove("a")
    (place / "data").remove("a")
    assert (place / "data").names() == ["b"]
    with pytest.raises(FileNotFoundError):
        (place / "data").read("a")


def test_a_url_that_nothing_serves_is_one_clear_line():
    with pytest.raises(OSError, match=r"^nowhere://bucket/run.*nowhere"):
        Place(Url("nowhere://bucket/run")).names()


def test_what_is_interrupted_is_never_published():
    published: list[Any] = []
    sink = ShardSink(2, Schema(("file_name",), {"key": "string"}), str, "png", published.append)
    names = sink.save_images("a", {"file_name": b"picture"})
    sink.add({**names, "key": "a", "index": 0})
    sink.close()
    assert not published
    sink.fail({"key": "b", "index": 1, "stage": "read", "error": "gone"})
    sink.close()
    sink.close()
    [collected] = published
    assert [entry.stem for entry in collected.in_order()] == ["a"]
    assert b'"gone"' in collected.errors()


def test_what_is_too_much_for_memory_is_kept_all_the_same():
    spool = Spool(in_memory=10)
    spans = [spool.add(bytes([n]) * n) for n in range(20)]
    assert [spool.read(span) for span in reversed(spans)] == [
        bytes([n]) * n for n in reversed(range(20))
    ]


def test_names_in_tars_have_no_dots_and_two_keys_never_share_one():
    keys = ["a.b", "a_b", "a", "a.jpg", "x/y", "..", ""]
    stem = stems_of(SampleNames(keys), dots=False)
    stems = [stem(key) for key in keys]
    assert len(set(stems)) == len(keys)
    assert not any("." in name or "/" in name for name in stems)


def test_values_that_fit_stay_what_they_are():
    kinds = {
        "n": "int64",
        "x": "float64",
        "t": "string",
        "l": [{"a": "int64"}],
        "other_columns": "",
    }
    schema = Schema((), kinds)
    row = {"n": 1, "x": 2, "t": ["a"], "l": [{"a": 1}, {}]}
    assert schema.fit(row) == {
        "n": 1, "x": 2.0, "t": '["a"]', "l": [{"a": 1}, {}], "other_columns": None
    }  # fmt: skip
    other = schema.fit({"n": 1.5, "x": 2**60, "l": [{"b": 1}], "new": True})
    assert other["n"] is other["x"] is other["l"] is None
    assert other["other_columns"] == (
        '{"n": 1.5, "x": 1152921504606846976, "l": [{"b": 1}], "new": true}'
    )


def test_shards_are_told_from_what_else_lies_there():
    names = [ShardName(n, 120_000).file(".tar") for n in (7, 100_001)]
    assert names == ["train-00007-of-120000.tar", "train-100001-of-120000.tar"]
    beside = ["train-00001-of-00002.parquet", "mine.tar", ".train-00003-of-00004.tar"]
    assert numbers([*names, *beside], ".tar") == {7, 100_001}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("s3://bucket/runs/", "s3://bucket/runs"), ("file:///tmp/x", "/tmp/x"), ("out", "out")],
)
def test_where_output_goes_reads_back_from_its_yaml(given, kept, tmp_path):
    config = ClipConfig.resolve({"output_folder": given, "actors": "2:8"}, {})
    assert str(config.output_folder) == kept
    file = tmp_path / "config.yaml"
    file.write_text(config.to_yaml())
    again = ClipConfig.resolve({}, {}, str(file))
    assert again == config
    assert isinstance(again.output_folder, Url if "s3" in kept else Path)
