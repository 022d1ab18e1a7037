"""Groups of rows: each is read once for its rows, in bounded memory, by several threads."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from api_cli.options.launch import Launch
from datasets_manager import Dataset, Sample
from datasets_manager.arrow import ParquetTable, StreamedTable
from datasets_manager.groups import Groups
from datasets_manager.tables import Columns, one_sample_a_row

KILO = b"x" * 1000


class Source:
    """Groups of one row of 1,000 bytes a column, and what was fetched of them."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups
        self.fetched: list[tuple[Any, ...]] = []

    def get(self, group: int, columns: Sequence[str] = ("a",)) -> dict[str, Any]:
        def fetch(missing: Sequence[str]) -> Any:
            self.fetched.append((group, *missing))
            return pyarrow.table({name: [KILO] for name in missing})

        return self.groups.get("file", group, columns, fetch)


def test_a_column_is_fetched_once_whatever_it_is_asked_with():
    source = Source(Groups(10**6))
    assert source.get(0, ("a", "b"))["b"][0].as_py() == KILO
    source.get(0, ("b", "c"))
    source.get(0, ("a", "c"))
    source.get(1, ("a",))
    assert source.fetched == [(0, "a", "b"), (0, "c"), (1, "a")]


def test_the_last_used_are_kept_while_their_bytes_allow_it():
    source = Source(Groups(3100))
    for group in (0, 1, 2, 0, 3, 0, 1):
        source.get(group)
        assert source.groups.bytes <= 3100
    assert source.fetched == [(0, "a"), (1, "a"), (2, "a"), (3, "a"), (1, "a")]
    for group in range(1000):
        source.get(group)
    assert source.groups.bytes <= 3100


def test_what_is_larger_than_the_limit_is_kept_alone():
    source = Source(Groups(10))
    for group in (0, 0, 0, 1, 1, 0):
        source.get(group)
    assert source.fetched == [(0, "a"), (1, "a"), (0, "a")]
    assert source.groups.bytes < 1100


def test_two_threads_fetch_one_group_once_and_two_groups_at_once():
    groups = Groups(10**6)
    both = threading.Barrier(2, timeout=20)
    fetched: list[int] = []

    def ask(group: int) -> Any:
        def fetch(missing: Sequence[str]) -> Any:
            fetched.append(group)
            both.wait()  # passed only if the other group is fetched at the same time
            return pyarrow.table({"a": [group]})

        return groups.get("file", group, ["a"], fetch)["a"][0].as_py()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, [0, 0, 0, 1, 1, 1])) == [0, 0, 0, 1, 1, 1]
    assert sorted(fetched) == [0, 1]


def test_a_fetch_that_fails_fails_those_who_wait_and_is_tried_again():
    groups = Groups(10**6)
    asked = threading.Semaphore(0)

    def broken(missing: Sequence[str]) -> Any:
        assert asked.acquire(timeout=20)
        time.sleep(0.05)
        raise OSError("gone")

    def ask(_: int) -> Any:
        asked.release()
        return groups.get("file", 0, ["a"], broken)

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(ask, n) for n in range(2)]
        errors = [str(future.exception()) for future in futures]
    assert errors == ["gone", "gone"]
    assert groups.bytes == 0
    source = Source(groups)
    source.get(0)
    assert source.fetched == [(0, "a")]


def test_another_process_gets_its_own():
    source = Source(Groups(2500))
    source.get(0)
    there = pickle.loads(pickle.dumps(source.groups))
    assert there.bytes == 0
    assert pickle.loads(pickle.dumps(there)).bytes == 0


def write_pictures(path: Path, rows: int, size: int, group: int, columns: int = 1) -> Path:
    """Pictures of `size` bytes that do not compress, as the hub's parquet holds them."""
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    pictures = {
        f"image_{n}": pyarrow.array(
            [{"bytes": os.urandom(size), "path": f"{row}.png"} for row in range(rows)], kind
        )
        for n in range(1, columns + 1)
    }
    fields = {
        "id": [f"test_{row}" for row in range(rows)],
        "question": [f"Which of {row}?" for row in range(rows)],
        "options": ["['a', 'b']"] * rows,
        "answer": ["A"] * rows,
    }
    table = pyarrow.table({**fields, **pictures})
    pyarrow.parquet.write_table(table, path, row_group_size=group)
    return path


@pytest.fixture
def reads(monkeypatch) -> list[tuple[Any, ...]]:
    """Every group that is read of any file from here on, with its columns."""
    noted: list[tuple[Any, ...]] = []
    read = pyarrow.parquet.ParquetFile.read_row_group

    def watch(self, group, columns, **options):
        noted.append((group, *columns))
        return read(self, group, columns, **options)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "read_row_group", watch)
    return noted


def test_each_group_is_read_once_on_disk_and_memory_does_not_grow(tmp_path, reads):
    """By four threads, pictures and all else that a row knows."""
    path = write_pictures(tmp_path / "a.parquet", rows=480, size=10_000, group=10)
    groups = Groups(2_000_000)  # a thread may fall behind by 200 rows
    table = ParquetTable(path, groups)
    samples = list(one_sample_a_row([table], Columns(image="image_1", key=("id",))))

    def read(sample: Any) -> int:
        assert sample.extra["answer"] == "A"
        assert groups.bytes <= 2_000_000 + 4 * 110_000
        return len(sample.read_image())

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(read, samples)) == {10_000}
    assert sorted(reads) == sorted(
        [(n, "image_1") for n in range(48)] + [(n, "id", "options", "answer") for n in range(48)]
    )


def test_groups_of_unequal_size_and_the_last_row_are_found(tmp_path):
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    path = tmp_path / "a.parquet"
    with pyarrow.parquet.ParquetWriter(path, pyarrow.schema({"image": kind})) as writer:
        number = 0
        for size in (1, 5, 2, 7):
            rows = [{"bytes": b"%d" % n, "path": None} for n in range(number, number + size)]
            writer.write_table(pyarrow.table({"image": pyarrow.array(rows, kind)}))
            number += size
    for table in (ParquetTable(path), StreamedTable(str(path), Groups())):
        found = [table.row(n, ["image"])["image"]["bytes"] for n in range(15)]
        assert found == [b"%d" % n for n in range(15)]


@pytest.mark.parametrize("shards", [3, 4, 7])
def test_shards_of_a_streamed_set_fetch_each_group_once_in_all(shards, tmp_path, reads):
    """Processes, each with books of its own, over thirty groups in three files."""
    paths = [
        write_pictures(tmp_path / f"{n}.parquet", rows=50, size=1000, group=5) for n in range(3)
    ]
    sizes = []
    for shard in range(shards):
        groups = Groups()
        tables = [StreamedTable(str(path), groups) for path in paths]
        listed = one_sample_a_row(tables, Columns(image="image_1"))
        dataset = Dataset("streamed", [item for item in listed if isinstance(item, Sample)])
        share = Launch().share(dataset, (shard, shards), Sample.shares_picture, Sample.shares_group)
        sizes.append(len(share))
        with ThreadPoolExecutor(4) as pool:
            assert {*pool.map(len, pool.map(Sample.read_image, share))} == {1000}
    assert sum(sizes) == 150
    assert max(sizes) - min(sizes) <= 5
    assert sorted(reads) == sorted([(n, "image_1") for n in range(10)] * 3)


def test_a_share_moves_by_an_eighth_at_most_to_keep_groups_whole():
    for group, shards in ((7, 3), (10, 4), (13, 5), (100, 7), (210, 2)):
        samples = [Sample(str(n), n, b"", "?", group=f"group {n // group}") for n in range(210)]
        shares = [
            Launch().share(samples, (shard, shards), Sample.shares_picture, Sample.shares_group)
            for shard in range(shards)
        ]
        assert [sample for share in shares for sample in share] == samples
        for number, share in enumerate(shares[:-1], start=1):
            end = share[-1].index + 1
            usual = 210 * number // shards
            assert abs(end - usual) <= 210 // shards // 8
            if any(border % group == 0 for border in range(usual - 210 // shards // 8, usual + 1)):
                assert end % group == 0
