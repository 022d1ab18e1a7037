"""A set whose samples can do harm, for tests of what a run survives."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from datasets_manager import DatasetOptions, Sample, loader


@loader
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """The pictures of a folder; `broken`, `kill` and `slow` beside them name some by number."""
    told = {
        name: set((root / name).read_text().split()) if (root / name).exists() else set()
        for name in ("broken", "kill", "slow")
    }
    for n, path in enumerate(sorted(root.glob("*.png"))):
        what = next((name for name, numbers in told.items() if str(n) in numbers), "")
        yield Sample(f"k{n}", n, partial(_read, path, what), f"Where is thing {n}?", {"answer": n})


def _read(path: Path, what: str) -> bytes:
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "slow":
        (path.parent / f"{os.getpid()}.pid").touch()
        time.sleep(1.5)
    return b"no picture" if what == "broken" else path.read_bytes()
