"""Fragments are the whole set, each sample once, opened wherever they are worked on."""

from __future__ import annotations

import pickle
import tarfile
from io import BytesIO
from itertools import accumulate, pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_manager import DatasetError, DatasetOptions, get_dataset, get_fragments
from datasets_manager.fragments import cut_rows
from tests.conftest import write_json_lines


def contents(samples):
    return [(s.key, s.index, s.question, s.read_image(), dict(s.extra), s.fault) for s in samples]


def opened(fragments):
    """The samples of all fragments, each opened as another process would."""
    return [s for part in fragments.parts for s in pickle.loads(pickle.dumps(part)).open()]


@pytest.fixture
def tables(tmp_path, photographs):
    """Two parquet files of 7 and 4 rows, in groups of 3."""

    def row(number):
        content = photographs["square"].read_bytes() + bytes([number])
        return {
            "image": {"bytes": content, "path": f"{number}.png"},
            "question": f"What is {number}?",
            "answer": str(number),
        }

    for name, rows in (("a", range(7)), ("b", range(7, 11))):
        table = pa.Table.from_pylist([row(n) for n in rows])
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=3)
    return f"parquet:{tmp_path}/*.parquet"


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_a_table_s_fragments_are_its_rows(tables, size):
    fragments = get_fragments(tables, size=size)
    whole = get_dataset(tables)
    assert fragments.samples == len(whole) == 11
    assert contents(opened(fragments)) == contents(whole)
    assert all(part.samples <= size for part in fragments.parts)
    assert [part.number for part in fragments.parts] == list(range(len(fragments.parts)))


def test_a_range_is_cut_out_of_a_table_s_fragments(tables):
    fragments = get_fragments(tables, size=3, chosen=(2, 9))
    assert contents(opened(fragments)) == contents(get_dataset(tables)[2:9])
    assert fragments.samples == 7


def test_a_set_s_fragments_never_part_questions_about_one_picture(tmp_path, photographs):
    names = ["square", "square", "square", "wide", "tall", "tall"]
    for name in set(names):
        path = photographs[name]
        (tmp_path / f"{name}{path.suffix}").write_bytes(path.read_bytes())
    rows = [
        {"file_name": f"{name}{photographs[name].suffix}", "question": f"{n}?", "key": str(n)}
        for n, name in enumerate(names)
    ]
    write_json_lines(tmp_path / "metadata.jsonl", rows)
    fragments = get_fragments("imagefolder", tmp_path, size=2)
    assert [part.samples for part in fragments.parts] == [3, 3]
    assert contents(opened(fragments)) == contents(get_dataset("imagefolder", tmp_path))


def write_tar(path, names, photographs):
    with tarfile.open(path, "w") as archive:
        for name in names:
            files = {"png": photographs["square"].read_bytes(), "txt": f"{name}?".encode()}
            for suffix, content in files.items():
                member = tarfile.TarInfo(f"{name}.{suffix}")
                member.size = len(content)
                archive.addfile(member, BytesIO(content))


def test_each_tar_is_a_fragment_and_none_is_opened_to_know_it(tmp_path, photographs):
    write_tar(tmp_path / "0.tar", ["a", "b"], photographs)
    write_tar(tmp_path / "1.tar", ["c", "d", "e"], photographs)
    (tmp_path / "2.tar").write_bytes(b"no tar at all")
    fragments = get_fragments(f"webdataset:{tmp_path}/*.tar", size=1)
    assert [part.samples for part in fragments.parts] == [None, None, None]
    first, second, broken = fragments.parts
    assert [s.key for s in first.open()] == ["a", "b"]
    assert [(s.key, s.index) for s in second.open()] == [("c", 0), ("d", 1), ("e", 2)]
    with pytest.raises(DatasetError, match=r"2\.tar.*cannot be read"):
        broken.open()
    with pytest.raises(DatasetError, match="--range"):
        get_fragments(f"webdataset:{tmp_path}/*.tar", size=1, chosen=(0, 2))


def test_a_key_twice_in_a_fragment_is_found_when_it_is_opened(tmp_path, photographs):
    picture = {"bytes": photographs["square"].read_bytes(), "path": "a.png"}
    rows = [{"image": picture, "question": "?", "key": key} for key in "aabc"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    [fragment] = get_fragments(f"parquet:{tmp_path}/a.parquet", size=10).parts
    faults = [sample.fault for sample in fragment.open()]
    assert [fault is None for fault in faults] == [True, False, True, True]


def test_another_source_is_told_by_its_digest(tables, tmp_path):
    before = get_fragments(tables, size=3)
    assert get_fragments(tables, size=3).source == before.source
    (tmp_path / "b.parquet").unlink()
    assert get_fragments(tables, size=3).source != before.source


def test_a_column_is_asked_instead_in_fragments_too(tables):
    options = DatasetOptions(query_column="answer")
    samples = opened(get_fragments(tables, options=options, size=4))
    assert [sample.hint for sample in samples] == [str(n) for n in range(11)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 12))
def test_rows_are_cut_into_stretches_of_at_most_the_size(counts, size):
    stretches = list(cut_rows(counts, size))
    assert [row for stretch in stretches for row in stretch] == list(range(sum(counts)))
    assert all(0 < len(stretch) <= size for stretch in stretches)
    for start, stop in pairwise(accumulate(counts, initial=0)):
        if stop - start <= size:  # what one stretch can hold is not cut
            assert not any(start < stretch.start < stop for stretch in stretches)
