"""Ten samples near the end of a set of 100,000: what opening it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import datasets

from experiments.bench.common import Row, write_photographs

PROGRAM = """
import sys
opened = []
def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".jpg"):
        opened.append(arguments[0])
sys.addaudithook(watch)
from api_cli.cli import app
try:
    app()
except SystemExit as exit:
    assert not exit.code
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(len(opened), int(peak) / 1e3)
"""


def measure(samples: int) -> list[Row]:
    """Seconds, peak memory and picture files opened by `apiprompt datasets show` on ten samples.

    Of an image folder, and of a dataset of the hub whose pictures lie in its tables. The time is
    that of the whole process.
    """
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        paths = write_photographs(root / "pictures", 20, megapixels=0.01)
        rows = [{"file_name": paths[i % 20].name, "question": f"{i}?"} for i in range(samples)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (root / "pictures" / "metadata.jsonl").write_text(lines)

        pictures = [path.read_bytes() for path in paths]
        table = datasets.Dataset.from_dict(
            {
                "image": [{"bytes": pictures[i % 20], "path": None} for i in range(samples)],
                "question": [row["question"] for row in rows],
            },
            features=datasets.Features(
                {"image": datasets.Image(), "question": datasets.Value("string")}
            ),
        )
        (root / "me" / "large").mkdir(parents=True)
        table.to_parquet(root / "me" / "large" / "test.parquet")
        size = sum(map(len, pictures)) / 20 * samples / 1e6
        return [
            _show(root, "imagefolder", samples, size, "--data-root", str(root / "pictures")),
            _show(root, "hf:me/large", samples, size),
        ]


def _show(root: Path, name: str, samples: int, megabytes: float, *flags: str) -> Row:
    command = [
        sys.executable, "-c", PROGRAM, "datasets", "show", name, *flags,
        "--range", str(samples - 1000), str(samples - 990),
    ]  # fmt: skip
    here = {"PYTHONPATH": f"{Path.cwd()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    environment = os.environ | here | {"HF_HOME": str(root / "hub"), "HF_HUB_OFFLINE": "1"}
    for _ in range(2):  # the first time, `datasets` makes its own copy of the tables
        start = time.perf_counter()
        process = subprocess.run(
            command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        seconds = time.perf_counter() - start
    opened, peak = process.stdout.splitlines()[-1].split()
    return {
        "set": name,
        "samples": samples,
        "MB of pictures": megabytes,
        "seconds": seconds,
        "picture files opened": int(opened),
        "peak MB": float(peak),
    }
