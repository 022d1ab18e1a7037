"""A real Ray cluster: whatever dies, each sample is a row or an error, and none is there twice."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.api_cli.runs.shards.cluster import (
    environment,
    finish_run,
    moto_server,
    object_store,
    ray_cluster,
    start_run,
    why_no_ray,
)
from tests.api_cli.runs.shards.conftest import assert_alike, errors, found, make_set, mask

NUMBER = int(os.environ.get("APIPROMPT_CLUSTER_PICTURES", "64"))
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.process,
    pytest.mark.skipif(why_no_ray() is not None, reason=str(why_no_ray())),
]
SET = "tests.api_cli.runs.shards.hard_sets:load"
SHARDS = ["--dataset", SET, "--output-format", "parquet", "--shard-size", NUMBER // 8]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One cluster for all tests, of two CPUs."""
    with ray_cluster(2, tmp_path_factory.mktemp("ray")) as address:
        yield ["--engine", "ray", "--ray-address", address, "--format", "png"]


@pytest.fixture
def hard(tmp_path):
    """Pictures, some of which do harm when they are read."""

    def make(**numbers: str) -> list[object]:
        root = make_set(tmp_path / "set", NUMBER)
        for what, which in numbers.items():
            (root / what).write_text(which)
        return ["--data-root", root, "--output-folder", tmp_path / "out", *SHARDS]

    return make


def run_folder(tmp_path: Path) -> Path:
    [record] = (tmp_path / "out").rglob("run.yaml")
    return record.parent


def assert_all_accounted_for(folder: Path, failed: int = 0, lost: int = 0) -> None:
    rows = [one.row["key"] for one in found(folder)]
    wrong = [row["key"] for row in errors(folder)]
    assert len(rows) == len(set(rows)) == NUMBER - failed - lost
    assert len(wrong) == failed
    assert len({*rows, *wrong}) == NUMBER - lost


def test_rows_and_pictures_are_those_of_a_folder(cluster, hard, tmp_path):
    flags = hard(broken="5")
    said = finish_run(tmp_path / "log", *flags, *cluster, status=3)
    folder = run_folder(tmp_path)
    assert_all_accounted_for(folder, failed=1)
    assert [(row["key"], row["stage"]) for row in errors(folder)] == [("k5", "read")]
    [same], report = mask(tmp_path / "same", dataset=SET, data_root=str(tmp_path / "set"))
    assert report is not None
    rows = {
        row["key"]: row
        for row in map(json.loads, (same / "metadata.jsonl").read_text().splitlines())
    }
    for one in found(folder):
        known = rows.pop(one.row["key"])
        content = (same / known.pop("file_name")).read_bytes()
        assert one.row == known
        assert_alike(one.pictures["file_name"].read(), content)
    assert not rows
    lines = said.strip().splitlines()  # its own words, and nobody else's
    assert [line.split()[0] for line in lines if "/8 fragments, " not in line] == [
        "looking", "actors", "warning:", str(folder), f"{NUMBER - 1}", "error:"
    ]  # fmt: skip
    assert "8/8 fragments, " in said
    said = finish_run(tmp_path / "log", *flags, *cluster, status=3)
    assert "nothing left to do: all 8 fragments are done" in said
    assert "--retry-failed" in said


def test_a_driver_that_is_killed_goes_on_where_it_was(cluster, hard, tmp_path):
    flags = hard(slow=" ".join(str(n) for n in range(0, NUMBER, NUMBER // 8)))
    process = start_run(tmp_path / "log", *flags, *cluster)
    shards = wait_for_shards(tmp_path, 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finish_run(tmp_path / "log", *flags, *cluster)
    folder = run_folder(tmp_path)
    assert_all_accounted_for(folder)
    for shard, written in shards.items():
        assert shard.stat().st_mtime_ns == written
    assert not list(folder.rglob("*.tmp"))


def test_an_actor_that_is_killed_costs_time_alone(cluster, hard, tmp_path):
    flags = hard(slow=" ".join(str(n) for n in range(0, NUMBER, NUMBER // 8)))
    process = start_run(tmp_path / "log", *flags, *cluster)
    wait_for_shards(tmp_path, 2)
    pids = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").glob("*.pid")}
    os.kill(int(max(pids, key=lambda path: pids[path]).stem), signal.SIGKILL)
    assert process.wait(timeout=400) == 0, (tmp_path / "log").read_text()
    assert_all_accounted_for(run_folder(tmp_path))
    assert len(list((tmp_path / "set").glob("*.pid"))) == 2  # another actor took its place


def test_a_fragment_that_kills_its_actors_is_left_and_tried_again(cluster, hard, tmp_path):
    flags = hard(kill="3")
    said = finish_run(tmp_path / "log", *flags, *cluster, status=3)
    folder = run_folder(tmp_path)
    assert "1 of 8 fragments are not done" in said
    assert "its actor died" in said
    assert "3 times" in said
    assert_all_accounted_for(folder, lost=NUMBER // 8)
    (tmp_path / "set" / "kill").unlink()
    finish_run(tmp_path / "log", *flags, *cluster)
    assert_all_accounted_for(folder)


def test_ctrl_c_ends_it_cleanly(cluster, hard, tmp_path):
    flags = hard(slow=" ".join(str(n) for n in range(NUMBER)))
    process = start_run(tmp_path / "log", *flags, *cluster)
    end = time.monotonic() + 200
    while not list((tmp_path / "set").glob("*.pid")):
        assert time.monotonic() < end
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    assert "error: interrupted" in said


def wait_for_shards(tmp_path: Path, number: int) -> dict[Path, int]:
    """Wait until so many shards stand; those, and when they were written."""
    end = time.monotonic() + 300
    while True:
        shards = list((tmp_path / "out").rglob("train-*.parquet"))
        if len(shards) >= number:
            return {shard: shard.stat().st_mtime_ns for shard in shards}
        assert time.monotonic() < end, (tmp_path / "log").read_text()
        time.sleep(0.05)


NO_S3 = "no moto_server: `make test-all` brings it, or name it in MOTO_SERVER"
STREAM = """
import datasets, sys
rows = datasets.load_dataset("parquet", data_files=sys.argv[1], split="train", streaming=True)
print(sorted((row["key"], row["image"].size) for row in rows))
"""


@pytest.mark.skipif(moto_server() is None, reason=NO_S3)
def test_a_real_object_store_takes_a_run_and_knows_it_again(cluster, tmp_path):
    import subprocess
    import sys

    root = make_set(tmp_path / "set", 6)
    log = tmp_path / "log"
    given = ["--dataset", SET, "--data-root", root, "--output-format", "parquet"]
    given += ["--shard-size", 2, "--output-folder", "s3://runs/first", "--format", "png"]
    with object_store(tmp_path) as variables:
        forward = ["--forward-env", ",".join(variables)]
        said = finish_run(log, *given, *cluster, *forward, variables=variables)
        assert "6 samples finished" in said
        run = next(line for line in said.splitlines() if line.startswith("s3://runs/first/"))
        assert "nothing left to do" in finish_run(log, *given, variables=variables)
        stream = [sys.executable, "-c", STREAM, f"{run}/data/*.parquet"]
        rows = subprocess.run(
            stream, env=environment(variables), capture_output=True, text=True, check=True
        )
        assert rows.stdout.strip() == str([(f"k{n}", (64, 48)) for n in range(6)])
