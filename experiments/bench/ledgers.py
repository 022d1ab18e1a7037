"""Rows into run folders, errors mended, and a folder of many rows opened: seconds of CPU."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from api_cli.runs.run_folder import RunFolder
from experiments.bench.common import Row


def measure(added: int, mended: int, opened: int) -> list[Row]:
    """CPU time of each kind of work on the manifest, all threads of this process."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        one = [_open(root / "one")]
        twelve = [_open(root / f"of 12, {i}") for i in range(12)]
        failing = _open(root / "mended")
        for i in range(mended):
            failing.fail({"key": str(i), "index": i, "stage": "read", "error": "OSError: gone"})
        failing.close()
        many = root / "many"
        _open(many).close()
        with (many / "metadata.jsonl").open("w") as file:
            for i in range(opened):
                file.write(json.dumps(_row(i)) + "\n")
                (many / f"{i}.jpg").touch()
        return [
            _time("rows into one folder", added, lambda: _add(one, added)),
            _time("rows into twelve folders", added, lambda: _add(twelve, added)),
            _time("errors mended", mended, lambda: _add([_open(root / "mended")], mended)),
            _time("finished rows opened", opened, lambda: _open(many)),
        ]


def _open(path: Path) -> RunFolder:
    return RunFolder(path, {}, {}, image_format="jpg")


def _row(i: int) -> Row:
    return {
        "file_name": f"{i}.jpg",
        "key": str(i),
        "index": i,
        "question": f"What colour is thing number {i}?",
        "answers": ["red", "green"],
        "box": [1, 2, 3, 4],
        "image_sha256": f"{i:064x}",
        "flat": False,
    }


def _add(folders: list[RunFolder], number: int) -> None:
    for i in range(number):
        folders[i % len(folders)].add(_row(i))
    for folder in folders:
        folder.close()


def _time(what: str, number: int, work: Callable[[], object]) -> Row:
    start = time.process_time()
    work()
    seconds = time.process_time() - start
    return {"what": what, "number": number, "CPU s": seconds, "a second": number / seconds}
