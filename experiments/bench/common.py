"""What the benchmarks share: photographs, random weights of real shapes, and fair timing."""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import skimage
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from api_cli.masking import CLIP, MaskSettings
from api_cli.options.launch import default_num_workers
from api_cli.relevance import Read
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.fit import grid_part
from api_cli.runs.belt import Belt
from api_cli.runs.jobs import Job, Report, Variant
from api_cli.runs.map_store import MapStore
from api_cli.runs.run_folder import RunFolder
from datasets_manager import Sample

_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "motorcycle_left")


Row = dict[str, Any]


class Ratio(NamedTuple):
    """A against B, in turn, pair by pair: what holds on machines that drift."""

    a_seconds: float
    b_seconds: float
    median: float
    low: float
    high: float


def compare(
    a: Callable[[], object],
    b: Callable[[], object],
    rounds: int,
    clock: Callable[[Callable[[], object]], float] | None = None,
) -> Ratio:
    """Time A and B in turn after a warm-up of each; medians, and the ratios of the pairs.

    By `seconds` unless another clock is given.
    """
    clock = clock or seconds
    a(), b()
    pairs = [(clock(a), clock(b)) for _ in range(rounds)]
    ratios = sorted(one / other for one, other in pairs)
    return Ratio(
        statistics.median(one for one, _ in pairs),
        statistics.median(other for _, other in pairs),
        statistics.median(ratios),
        ratios[0],
        ratios[-1],
    )


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock seconds that `work` takes, the GPU's included."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def cpu_seconds(work: Callable[[], object]) -> float:
    """Seconds of all processors that `work` takes: what holds on a machine that others use."""
    start = time.process_time()
    work()
    return time.process_time() - start


def write_photographs(folder: Path, number: int, megapixels: float = 1.0) -> list[Path]:
    """JPEG photographs of about that size, 4:3, each a different piece of a real one."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(skimage.__file__).parent / "data"
    height = round((megapixels * 1e6 * 3 / 4) ** 0.5)
    size = (height * 4 // 3, height)
    paths = []
    for i in range(number):
        [file] = source.glob(f"{_PHOTOGRAPHS[i % len(_PHOTOGRAPHS)]}.*")
        with Image.open(file) as picture:
            inset = 4 * (i // len(_PHOTOGRAPHS))
            box = (inset, inset, picture.width - inset, picture.height - inset)
            paths.append(folder / f"{i:04d}.jpg")
            picture.convert("RGB").resize(size, box=box).save(paths[-1], quality=90)
    return paths


def write_random_weights(architecture: str, folder: Path) -> Path:
    """A weights file of a real shape; speed does not depend on training."""
    torch.manual_seed(0)
    config = open_clip.get_model_config(architecture)
    model = open_clip.CLIP(**{k: v for k, v in config.items() if k != "custom_text"})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{architecture}.pt"
    torch.save(model.state_dict(), path)
    return path


def make_jobs(
    paths: Sequence[Path],
    settings: Sequence[tuple[int, MaskSettings]],
    out: Path,
    questions: str,
) -> list[Job]:
    """One job a photograph, in every setting, into fresh run folders under `out`.

    Args:
        paths: of the photographs.
        settings: layers and mask parameters.
        out: where the run folders go.
        questions: a word in every question, which makes them new to the model.
    """
    variants = tuple(
        Variant((Read(layer),), mask, RunFolder(out / str(i), {}, {}, image_format="jpg"))
        for i, (layer, mask) in enumerate(settings)
    )
    return [
        Job(Sample(path.stem, i, path, f"what is thing {i} of {questions} doing?"), variants)
        for i, path in enumerate(paths)
    ]


class Bench:
    """A model of a real shape with random weights, photographs, and room for results.

    Args:
        architecture: of open_clip.
        photographs: how many, of about a megapixel.
        folder: a temporary one.
    """

    def __init__(self, architecture: str, photographs: int, folder: Path) -> None:
        self.folder = folder
        self.paths = write_photographs(folder / "photographs", photographs)
        weights = write_random_weights(architecture, folder)
        self.model = ClipRelevance(ClipCheckpoint(architecture, str(weights)))
        weights.unlink()
        self._names = itertools.count()

    def run(
        self,
        settings: Sequence[tuple[int, MaskSettings]],
        store: MapStore | None = None,
        questions: str | None = None,
    ) -> Report:
        """One run into fresh folders; `questions` makes those of two runs the same."""
        out = self.folder / f"run{next(self._names)}"
        jobs = make_jobs(self.paths, settings, out, questions or out.name)
        locate = partial(grid_part, "paper", grid=self.model.grid)
        workers = default_num_workers("auto")
        belt = Belt(CLIP, lambda: self.model, locate, store=store, num_workers=workers)
        done = belt.run(jobs)
        assert done.finished == len(self.paths), f"{done.failed} failed"
        shutil.rmtree(out)
        return done


def report(title: str, rows: Sequence[Row], json_path: Path) -> None:
    """Print rows as a table and write them as JSON."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()))
    Console(width=140).print(table)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps({"title": title, "rows": list(rows)}, indent=2) + "\n")
