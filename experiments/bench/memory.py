"""Peak memory of the whole program over few and many samples."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.bench.common import Row, write_photographs

PROGRAM = """
from api_cli.cli import app
from experiments.bench.peak import peak_megabytes
try:
    app()
except SystemExit as exit:
    assert not exit.code
print(peak_megabytes())
"""


def measure(few: int, many: int) -> list[Row]:
    """Peak resident memory of `apiprompt clip` with the demo model on 0.1-megapixel samples."""
    rows = []
    for samples in (few, many):
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            paths = write_photographs(root / "pictures", 20, megapixels=0.1)
            lines = (
                json.dumps(
                    {"file_name": paths[i % 20].name, "question": f"what is {i}?", "key": f"{i}"}
                )
                for i in range(samples)
            )
            (root / "pictures" / "metadata.jsonl").write_text("\n".join(lines))
            command = [
                sys.executable, "-c", PROGRAM, "clip", "--dataset", "imagefolder", "--quiet",
                "--data-root", str(root / "pictures"), "--model-name", "demo",
                "--output-folder", str(root / "out"),
            ]  # fmt: skip
            process = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append({"samples": samples, "peak MB": float(process.stdout.splitlines()[-1])})
    rows[0]["of the first"] = 1.0
    rows[1]["of the first"] = rows[1]["peak MB"] / rows[0]["peak MB"]
    return rows
