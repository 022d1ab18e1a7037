"""One device, in full: images a second by model, precision and batch size, and what masks lose.

Weights are random, which speed does not depend on, but for the demo model, whose masks are real.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from api_cli.masking import CLIP, LLAVA, MaskSettings, Method
from api_cli.options.launch import default_num_workers
from api_cli.relevance import Prepared, Relevance, RelevanceModel
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import DEMO, ClipCheckpoint
from api_cli.relevance.device import autocast, fused_attention
from api_cli.relevance.fit import grid_part
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.runs.belt import Belt
from api_cli.runs.jobs import Report
from api_cli.runs.pictures import decode
from experiments.bench import threads
from experiments.bench.common import (
    Row,
    make_jobs,
    seconds,
    write_photographs,
    write_random_weights,
)
from experiments.bench.llava import MIDDLE, write_random_llava

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
_JUDGED = 8  # photographs whose masks are compared


class Plan(NamedTuple):
    """What is measured.

    Attributes:
        architectures: of open_clip, or `demo`.
        batch_sizes: of the forward pass alone.
        threads: how many read and write photographs beside the model.
        photographs: of a megapixel, in a run.
        seconds: that a forward pass is repeated for.
        llava: shape of the LLaVA.
        questions: about one picture, of LLaVA.
        new_tokens: of LLaVA's answers.
        budget: seconds in all; what does not fit is said and left out, the largest model first.
    """

    architectures: Sequence[str]
    batch_sizes: Sequence[int]
    threads: Sequence[int]
    photographs: int
    seconds: float
    llava: dict[str, dict[str, int]]
    questions: int
    new_tokens: int
    budget: float


FULL = Plan(
    (DEMO, "ViT-B-32", "ViT-L-14", "ViT-L-14-336"), (1, 8, 32, 64, 128, 256), (1, 2, 4, 8, 16),
    192, 0.5, MIDDLE, 6, 20, 450,
)  # fmt: skip
# for a CPU: the same ways, in a minute
_TINY = {
    "vision_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                      "intermediate_size": 64},
    "text_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                    "intermediate_size": 64},
}  # fmt: skip
SMALL = Plan((DEMO,), (1, 2), (1, 2), 4, 0.05, _TINY, 2, 2, 450)


class Left:
    """What is left of the time.

    Args:
        budget: seconds.
    """

    def __init__(self, budget: float) -> None:
        self._end = time.perf_counter() + budget
        self.out: list[str] = []

    def for_(self, what: str) -> bool:
        """Whether there is time for that; notes what is left out."""
        if time.perf_counter() < self._end:
            return True
        self.out.append(what)
        return False


def measure(device: str, plan: Plan) -> list[tuple[str, list[Row]]]:
    """Tables by title: beside the model, forward pass alone, runs by stage, LLaVA."""
    left = Left(plan.budget)
    forward: list[Row] = []
    runs: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = write_photographs(folder / "photographs", plan.photographs)
        beside = threads.measure(plan.threads, plan.photographs)
        answers = _llava(device, plan, folder, paths, left)
        for architecture in plan.architectures:
            if not left.for_(architecture):
                continue
            load = _loader(architecture, folder, device)
            with precision_of("exact"):
                expected = _masks(CLIP, load("fp32"), paths[:_JUDGED])
            for precision in PRECISIONS:
                if not left.for_(f"{architecture} in {precision}"):
                    continue
                with precision_of(precision) as stored:
                    model = load(stored)
                    off = _share_off(expected, _masks(CLIP, model, paths[:_JUDGED]))
                    words = {"model": architecture, "precision": precision}
                    for size in plan.batch_sizes:
                        rate = _forward_rate(model, stored, size, plan.seconds)
                        forward.append(words | {"batch": size, "images/s": rate, "masks off": off})
                    runs.append(words | _run(model, paths, folder))
    for what in left.out:
        print(f"left out, since {plan.budget:.0f} s were over: {what}")
    tables = [
        ("Beside the model, photographs of a megapixel", beside),
        ("Forward pass alone, up to the layer that is read", forward),
        ("A run of 1-megapixel photographs, --batch-size auto", runs),
        (f"LLaVA, {plan.new_tokens} new tokens, {plan.questions} questions a picture", answers),
    ]
    return [(f"{title}, on {_name(device)}", rows) for title, rows in tables if rows]


@contextmanager
def precision_of(name: str) -> Iterator[str]:
    """Set the device up for a precision; gives the one that the model is told.

    tf32 is fp32 whose matrix products round their factors to 10 bits; "exact" is fp32 whose
    convolutions do not do so either, as they do by default.
    """
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name != "exact" and convolution
    try:
        yield name if name in ("bf16", "fp16") else "fp32"
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution


def _loader(architecture: str, folder: Path, device: str) -> Callable[[str], ClipRelevance]:
    weights = None if architecture == DEMO else write_random_weights(architecture, folder)
    checkpoint = ClipCheckpoint(architecture, None if weights is None else str(weights))
    return lambda precision: ClipRelevance(checkpoint, device=device, precision=precision)


def _masks(method: Method, model: RelevanceModel, paths: Sequence[Path]) -> list[np.ndarray]:
    """Masks of photographs at the default settings, in levels of 0 to 255."""
    images = [model.prepare(decode(path.read_bytes())) for path in paths]
    asked = [f"what is thing {n} doing?" for n in range(len(images))]
    layer = _layer(model)
    found = model.relevance(images, asked, [layer])
    return [_levels(method, relevance) for relevance in found]


def _layer(model: RelevanceModel) -> int:
    if isinstance(model, ClipRelevance):
        return model.number_of_layers - 2
    assert isinstance(model, LlavaRelevance)
    return model.number_of_layers * 5 // 8


def _levels(method: Method, relevance: Relevance) -> np.ndarray:
    return np.floor(255 * method.make_mask(relevance.maps[0], MaskSettings(5, 3), None).values)


def _share_off(expected: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float:
    """The share of mask values that are more than one level off."""
    pairs = zip(expected, masks, strict=True)
    return float(np.mean([np.abs(one - other).ravel() > 1 for one, other in pairs]))


@torch.inference_mode()
def _forward_rate(model: ClipRelevance, precision: str, size: int, least: float) -> float:
    """Images a second through the tower, on pixels that are on the device; 0 if they do not fit."""
    device = next(model.model.parameters()).device
    visual = model.model.visual
    pixels = torch.randn(size, 3, *visual.image_size, device=device)

    def work() -> None:
        with fused_attention(device), autocast(device, precision):
            visual.forward_intermediates(
                pixels, indices=[_layer(model)], stop_early=True, intermediates_only=True
            )

    def repeat(times: int) -> None:
        for _ in range(times):
            work()

    try:
        work()
        once = seconds(work)
        times = max(1, min(200, round(least / once)))
        return size * times / seconds(lambda: repeat(times))
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return 0.0


def _run(model: ClipRelevance, paths: Sequence[Path], folder: Path) -> Row:
    """A run over the photographs: images a second, and where its time went."""
    workers = default_num_workers("auto")

    def once(name: str) -> tuple[Report, int, float]:
        out = folder / "run"
        jobs = make_jobs(paths, [(_layer(model), MaskSettings())], out, name)
        locate = partial(grid_part, "paper", grid=model.grid)
        belt = Belt(CLIP, lambda: model, locate, batch_size="auto", num_workers=workers)
        start = time.perf_counter()
        report = belt.run(jobs)
        taken = time.perf_counter() - start
        shutil.rmtree(out)
        return report, belt.batch_size, taken

    once("the first run")
    report, batch_size, taken = once("the second run")
    assert report.finished == len(paths), f"{report.failed} failed"
    return {
        "images/s": len(paths) / taken,
        "batch": batch_size,
        "threads": workers,
        "waiting to read s": report.seconds_reading,
        "in model s": report.seconds_model,
        "waiting to write s": report.seconds_writing,
        "in all s": taken,
    }


def _llava(device: str, plan: Plan, folder: Path, paths: Sequence[Path], left: Left) -> list[Row]:
    """Samples a second, questions about one picture shared and separate, and what masks lose."""
    if not left.for_("LLaVA"):
        return []
    write_random_llava(folder / "llava", plan.llava, "fp32")
    load = partial(
        LlavaRelevance,
        LlavaCheckpoint(str(folder / "llava")),
        device=device,
        max_new_tokens=plan.new_tokens,
    )
    with precision_of("exact"):
        expected = _masks(LLAVA, load(precision="fp32"), paths[:2])
    rows: list[Row] = []
    for precision in PRECISIONS:
        if not left.for_(f"LLaVA in {precision}"):
            continue
        with precision_of(precision) as stored:
            model = load(precision=stored)
            off = _share_off(expected, _masks(LLAVA, model, paths[:2]))
            [image] = [model.prepare(decode(paths[0].read_bytes()))]
            shared = [image] * plan.questions
            separate = [image._replace(pixels=image.pixels.clone()) for image in shared]
            rows.append(
                {
                    "precision": precision,
                    "separate samples/s": _answer_rate(model, separate),
                    "shared samples/s": _answer_rate(model, shared),
                    "masks off": off,
                }
            )
    return rows


def _answer_rate(model: LlavaRelevance, images: Sequence[Prepared]) -> float:
    asked = [f"what is thing {n} doing, {'and why, ' * n}?" for n in range(len(images))]

    def work() -> None:
        vars(model)["_last"] = None  # each time as if the picture were new
        model.relevance(images, asked, [_layer(model)])

    work()
    return len(images) / min(seconds(work) for _ in range(2))


def _name(device: str) -> str:
    kind = torch.device(device)
    return torch.cuda.get_device_name(kind) if kind.type == "cuda" else device
