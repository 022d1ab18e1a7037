"""One process, two by `accelerate launch` and three shards: are the pictures the same?"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.bench.common import Row

FLAGS = ("-m", "api_cli", "clip", "--format", "png", "--quiet", "--no-map-store")
LAUNCH = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2")


def measure() -> list[Row]:
    """The demo set's 64 samples, three ways: names, rows, pictures to the grey level and byte."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        ways: dict[str, list[Sequence[str]]] = {
            "1 process": [FLAGS],
            "2 processes": [LAUNCH + FLAGS],
            "3 shards": [(*FLAGS, "--shard", f"{i}/3") for i in range(3)],
        }
        results = {}
        for way, commands in ways.items():
            for command in commands:
                out = ("--output-folder", str(root / way))
                run = [sys.executable, *command, *out]
                subprocess.run(run, check=True, capture_output=True, cwd=root)
            [results[way]] = (root / way).glob("APICLIP_*/*")
        first = results["1 process"]
        return [_compare(way, first, folder) for way, folder in results.items()]


def _compare(way: str, first: Path, other: Path) -> Row:
    names = sorted(path.name for path in first.glob("*.png"))
    theirs = sorted(path.name for path in other.glob("*.png"))
    rows, their_rows = (
        sorted((folder / "metadata.jsonl").read_bytes().splitlines()) for folder in (first, other)
    )
    pairs = [(first / name, other / name) for name in names]
    return {
        "way": way,
        "pictures": len(theirs),
        "same names": names == theirs,
        "same rows": rows == their_rows,
        "same to the byte": sum(a.read_bytes() == b.read_bytes() for a, b in pairs),
        "largest difference": max(_difference(a, b) for a, b in pairs),
    }


def _difference(one: Path, other: Path) -> int:
    with Image.open(one) as a, Image.open(other) as b:
        return int(np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max())
