"""Runs that are killed again and again, watched for half files, leave what undisturbed ones do.

`python -m tests.api_cli.runs.test_kills 20 10` does it for long: so many SIGKILLs and SIGTERMs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests import zygote

SAMPLES = 40
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


class Way(NamedTuple):
    """How the program is started: a command, and by how many processes at once."""

    arguments: tuple[str, ...]
    processes: int


WAYS = [
    Way(("clip", "--batch-size", "2"), 1),
    Way(("clip", "--layer-index", "2,3", "--enhance-coe", "1,5"), 2),
    Way(("llava", "--batch-size", "2", "--max-new-tokens", "3", "--save-maps"), 1),
    Way(("llava", "--max-new-tokens", "3", "--grayscale", "0,200", "--batch-size", "2"), 2),
]


class Watcher(threading.Thread):
    """Looks at everything that appears below a folder, and notes what is half.

    Attributes:
        wrong: what was seen.
        looks: how often all was looked at.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._done = threading.Event()
        self._seen: set[tuple[Path, int]] = set()
        self.wrong: list[str] = []
        self.looks = 0

    def run(self) -> None:
        while not self._done.is_set():
            self.looks += 1
            for manifest in self._root.glob("API*/*/metadata.jsonl"):
                self._look_at_rows(manifest)
            for picture in self._root.glob("API*/*/*.png"):
                self._look_at(picture)
            time.sleep(0.01)

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _look_at_rows(self, manifest: Path) -> None:
        lines = manifest.read_bytes().split(b"\n")[:-1]  # the last may be on its way
        for line in lines[-3:]:
            row = json.loads(line) if line.startswith(b'{"file_name"') else {"file_name": "half"}
            if not (manifest.parent / row["file_name"]).exists():
                self.wrong.append(f"{manifest}: {line[:60]!r} without its picture")

    def _look_at(self, picture: Path) -> None:
        seen = (picture, picture.stat().st_ino)
        if picture.name.startswith(".") or seen in self._seen:
            return
        self._seen.add(seen)
        try:
            with Image.open(picture) as image:
                image.load()
        except OSError as error:
            self.wrong.append(f"{picture}: {error}")


def write_dataset(root: Path) -> Path:
    root.mkdir()
    rows = []
    for i in range(SAMPLES):
        picture = Image.effect_noise((90, 60), 30 + i).convert("RGB")
        picture.paste((250, 40, 10), (i, 10, i + 20, 30))
        picture.save(root / f"{i}.png")
        rows.append({"file_name": f"{i}.png", "question": f"Where is number {i}?", "key": f"k {i}"})
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def content(root: Path) -> dict[str, Any]:
    """What a run left, by name: files' bytes, rows in no order, records and caches not at all."""
    there: dict[str, Any] = {}
    for path in sorted(root.glob("API*/*/*")):
        name = str(path.relative_to(root))
        if path.name == "metadata.jsonl":
            there[name] = Counter(path.read_bytes().splitlines())
        elif path.suffix == ".npy":
            there[name] = np.load(path)
        elif path.suffix in (".png", ".jpg"):
            with Image.open(path) as image:
                there[name] = np.asarray(image).astype(int)
        elif path.name not in ("run.yaml", ".lock", ".sources.json"):
            there[name] = path.read_bytes()
    return there


def is_same(name: str, one: Any, two: Any) -> bool:
    """Whether two files hold the same, but for the last bit that batches leave to a model."""
    if name.endswith(".npy"):
        return bool(np.allclose(one, two, rtol=1e-4, atol=1e-6 * np.abs(one).max()))
    if name.endswith(".png"):
        return one.shape == two.shape and bool(np.abs(one - two).max() <= 1)
    return name.endswith(".jpg") or bool(one == two)


class Ground:
    """A dataset and the folders of runs over it."""

    def __init__(self, root: Path, way: Way) -> None:
        self.root = root
        self.way = way
        self.data = write_dataset(root / "data")
        self.log = root / "log"

    def start(self, out: str) -> list[ForkServerProcess]:
        arguments = (
            *(*self.way.arguments, "--model-name", "demo", "--dataset", "imagefolder"),
            *("--data-root", self.data, "--output-folder", out, "--format", "png"),
            *("--num-workers", 2),
        )
        return [
            zygote.start(
                arguments,
                self.root,
                self.log,
                ENVIRONMENT
                | {"RANK": str(rank), "WORLD_SIZE": str(self.way.processes), "LOCAL_RANK": "0"},
            )
            for rank in range(self.way.processes)
        ]

    def finish(self, out: str) -> None:
        processes = self.start(out)
        for process in processes:
            process.join(120)
        assert [process.exitcode for process in processes] == [0] * len(processes), (
            self.log.read_text()
        )

    def disturb(self, out: str, number: int, moment: random.Random) -> bool:
        """Start a run and send it a signal; whether it was still running then."""
        before = sum(1 for _ in (self.root / out).glob("API*/*/*.png"))
        processes = self.start(out)
        deadline = time.monotonic() + 60
        late = moment.random() < 0.8  # else while it starts, plans or loads the model
        while late and time.monotonic() < deadline and any(p.is_alive() for p in processes):
            if sum(1 for _ in (self.root / out).glob("API*/*/*.png")) > before:
                break
            time.sleep(0.002)
        time.sleep(moment.random() * (0.15 if late else 0.5))
        for process in processes:
            if process.is_alive():
                assert process.pid is not None
                os.kill(process.pid, number)
        for process in processes:
            process.join(60)
        statuses = [process.exitcode for process in processes]
        if number == signal.SIGTERM:
            # one that has not begun yet ends as any process does, one that has finished by 0
            assert set(statuses) <= {143, -signal.SIGTERM, 0}, self.log.read_text()
            return 143 in statuses
        return -signal.SIGKILL in statuses


def disturbed_is_undisturbed(root: Path, way: Way, signals: Sequence[int], seed: int) -> str:
    """Disturb a run by these signals, finish it, compare; what there is to say of it."""
    ground, moment = Ground(root, way), random.Random(seed)
    ground.finish("undisturbed")
    watcher = Watcher(root / "disturbed")
    watcher.start()
    hits = sum(ground.disturb("disturbed", number, moment) for number in signals)
    ground.finish("disturbed")
    watcher.stop()
    assert watcher.wrong == []
    assert "Traceback" not in ground.log.read_text()
    one, two = content(root / "undisturbed"), content(root / "disturbed")
    assert one.keys() == two.keys()
    assert [name for name in one if not is_same(name, one[name], two[name])] == []
    assert not list((root / "disturbed").rglob("*.tmp"))
    manifests = [rows for name, rows in two.items() if name.endswith("metadata.jsonl")]
    assert all(set(rows.values()) == {1} and len(rows) == SAMPLES for rows in manifests)
    return f"{hits} of {len(signals)} signals met a running program; {watcher.looks} looks"


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.arguments[0]}-{way.processes}")
def test_a_run_killed_again_and_again_leaves_what_an_undisturbed_one_does(way, tmp_path):
    signals = [signal.SIGKILL, signal.SIGTERM]
    disturbed_is_undisturbed(tmp_path, way, signals, seed=0)


if __name__ == "__main__":
    kills, terms = map(int, sys.argv[1:3])
    for turn, each_way in enumerate(WAYS):
        order = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
        share = order[turn :: len(WAYS)]
        random.Random(turn).shuffle(share)
        with tempfile.TemporaryDirectory() as scratch:
            print(each_way, disturbed_is_undisturbed(Path(scratch), each_way, share, turn))
