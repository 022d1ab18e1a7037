"""What tests of sharded runs share: sets to mask, runs in this process, and what they left."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api_cli.console import Console
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.runs.outcome import Outcome
from api_cli.runs.run import run
from api_cli.runs.shards.reading import Found, open_shards
from tests.conftest import write_json_lines


def mask(out: object, **flags: Any) -> Outcome:
    """Mask with the demo model, in this process."""
    given = {"model_name": "demo", "output_folder": str(out), "format": "png", **flags}
    return run(ClipConfig.resolve(given, {}), Console(quiet=True), Launch())


def make_set(root: Path, number: int, broken: tuple[int, ...] = ()) -> Path:
    """An image folder of small pictures; those of the numbers given do not open."""
    root.mkdir()
    rows = []
    for n in range(number):
        name = f"{n:04d}.png"
        if n in broken:
            (root / name).write_bytes(b"no picture")
        else:
            gradient = Image.linear_gradient("L").rotate(n).resize((64, 48))
            Image.merge("RGB", [gradient] * 3).save(root / name)
        asked = f"Where is thing {n}?"
        rows.append({"file_name": name, "question": asked, "key": f"k{n}", "answer": n})
    write_json_lines(root / "metadata.jsonl", rows)
    return root


@pytest.fixture(scope="session")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures with questions."""
    return make_set(tmp_path_factory.mktemp("ten") / "set", 10)


def found(folder: Any) -> list[Found]:
    """What a sharded run holds."""
    shards = open_shards(folder)
    assert shards is not None
    return list(shards.samples())


def keys(folder: Any) -> list[str]:
    """Keys of a sharded run's finished samples, in order."""
    return [one.row["key"] for one in found(folder)]


def assert_alike(one: bytes, other: bytes) -> None:
    """Two pictures' files are the same to one grey level, as far as float32 goes."""
    levels = [np.asarray(Image.open(io.BytesIO(content)), int) for content in (one, other)]
    assert levels[0].shape == levels[1].shape
    assert abs(levels[0] - levels[1]).max() <= 1


def errors(folder: Path) -> list[dict[str, Any]]:
    """Rows of a sharded run's failed samples."""
    files = sorted((folder / "errors").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def stamps(folder: Path) -> dict[str, int]:
    """When each shard was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "data").iterdir()}
