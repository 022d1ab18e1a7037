"""A run that has nothing left to do: what it costs to find that out among many finished rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from experiments.bench.common import Row

PROGRAM = """
import time
from api_cli.cli import app
begun = time.process_time()  # what imports cost is no matter of rows
try:
    app()
except SystemExit as exit:
    assert not exit.code
used = time.process_time() - begun
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(used, int(peak) / 1e3)
"""


def measure(rows: int) -> list[Row]:
    """CPU seconds and peak memory of `apiprompt clip` on an image folder that is finished.

    All samples are about one picture; their masked ones are there by name alone.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        pictures = root / "pictures"
        pictures.mkdir()
        Image.new("RGB", (40, 30)).save(pictures / "p.png")
        os.utime(pictures / "p.png", (0, 0))
        questions = [f"What colour is thing number {i}?" for i in range(rows)]
        table = (
            {"file_name": "p.png", "question": q, "key": str(i)} for i, q in enumerate(questions)
        )
        _write(pictures / "metadata.jsonl", table)
        _run(root, "--range", "0", "1")
        [run] = (root / "experiments").glob("API*/*")
        [row] = map(json.loads, (run / "metadata.jsonl").read_text().splitlines())
        [mark] = json.loads((run / ".sources.json").read_text()).values()
        finished = (
            row | {"file_name": f"{i}.jpg", "key": str(i), "index": i, "question": q}
            for i, q in enumerate(questions)
        )
        _write(run / "metadata.jsonl", finished)
        for i in range(rows):
            (run / f"{i}.jpg").touch()
        (run / ".sources.json").write_text(json.dumps({str(i): mark for i in range(rows)}))
        seconds, megabytes = _run(root)
    return [{"finished rows": rows, "CPU s beside imports": seconds, "peak MB": megabytes}]


def _write(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w") as file:
        for row in rows:
            file.write(json.dumps(row) + "\n")


def _run(root: Path, *flags: str) -> tuple[float, float]:
    """CPU seconds and megabytes."""
    command = [
        sys.executable, "-c", PROGRAM, "clip", "--dataset", "imagefolder", "--model-name", "demo",
        "--data-root", "pictures", "--quiet", *flags,
    ]  # fmt: skip
    here = {"PYTHONPATH": f"{Path.cwd()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.run(
        command, cwd=root, env=os.environ | here, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, megabytes = process.stdout.splitlines()[-1].split()
    return float(seconds), float(megabytes)
