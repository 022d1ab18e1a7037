"""Several questions about one picture: what they cost beside one, and how often it is seen."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from api_cli.console import Console
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.options.run import RunConfig
from api_cli.relevance import Prepared, Relevance, RelevanceModel
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.runs.pictures import decode
from api_cli.runs.run import run
from experiments.bench.common import (
    Row,
    compare,
    cpu_seconds,
    write_photographs,
    write_random_weights,
)
from experiments.bench.llava import write_random_llava
from tests.layouts import write_long_pope, write_mme

SMALL_LLAVA = {
    "vision_config": {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4,
                      "intermediate_size": 1024},
    "text_config": {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8,
                    "intermediate_size": 1408},
}  # fmt: skip
_KINDS: tuple[type[RunConfig], ...] = (ClipConfig, LlavaConfig)
_SAME = "what is thing number {} in this picture doing, and why?"


def clip(architecture: str, pictures: int, questions: int, rounds: int) -> list[Row]:
    """CPU time of P pictures with Q questions each over that of P single samples.

    Texts are encoded before, so that what is timed is the tower and the maps.
    """
    with tempfile.TemporaryDirectory() as temporary:
        weights = write_random_weights(architecture, Path(temporary))
        model = ClipRelevance(ClipCheckpoint(architecture, str(weights)))
        batch = _prepare(model, Path(temporary), pictures)
    layer = model.number_of_layers - 2
    shared = [image for image in batch for _ in range(questions)]
    asked = [_SAME.format(n) for n in range(len(shared))]

    def together() -> list[Relevance]:
        _forget(model)
        return model.relevance(shared, asked, [layer])

    def singles() -> list[Relevance]:
        _forget(model)
        return model.relevance(batch, asked[::questions], [layer])

    ratio = compare(together, singles, rounds, cpu_seconds)
    last = slice(questions - 1, None, questions)  # one question a picture
    alone = _separately(model, shared[last], asked[last], layer)
    return [
        {
            "model": architecture,
            "pictures x questions": f"{pictures} x {questions}",
            "new tokens": 0,
            "shared CPU s": ratio.a_seconds,
            "other CPU s": ratio.b_seconds,
            "ratio": f"{ratio.median:.3f} of {pictures} singles",
            "largest difference": _difference(together()[last], alone),
            "same answers": "",
        }
    ]


def llava(pictures: int, questions: int, new_tokens: Sequence[int], rounds: int) -> list[Row]:
    """CPU time of the separate way over that of the shared one; 576 tokens, 12 layers of 512."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_random_llava(folder / "model", SMALL_LLAVA, "fp32")
        for tokens in new_tokens:
            model = LlavaRelevance(
                LlavaCheckpoint(str(folder / "model")), device="cpu", max_new_tokens=tokens
            )
            batch = _prepare(model, folder / str(tokens), pictures)
            shared = [image for image in batch for _ in range(questions)]
            separate = [image._replace(pixels=image.pixels.clone()) for image in shared]
            asked = [_SAME.format("and " * n) for n in range(len(shared))]
            layer = model.number_of_layers * 5 // 8

            def work(
                images: list[Prepared],
                model: LlavaRelevance = model,
                asked: list[str] = asked,
                layer: int = layer,
            ) -> list[Relevance]:
                _forget(model)
                return model.relevance(images, asked, [layer])

            def unshared(
                work: Callable[..., list[Relevance]] = work, images: list[Prepared] = separate
            ) -> list[Relevance]:
                return work(images)

            def once(
                work: Callable[..., list[Relevance]] = work, images: list[Prepared] = shared
            ) -> list[Relevance]:
                return work(images)

            ratio = compare(unshared, once, rounds, cpu_seconds)
            ours, theirs = once(), unshared()
            same = sum(a.facts == b.facts for a, b in zip(ours, theirs, strict=True))
            rows.append(
                {
                    "model": "LLaVA, 12 layers of 512",
                    "pictures x questions": f"{pictures} x {questions}",
                    "new tokens": tokens,
                    "shared CPU s": ratio.b_seconds,
                    "other CPU s": ratio.a_seconds,
                    "ratio": f"{ratio.median:.2f} times faster",
                    "largest difference": _difference(ours, theirs),
                    "same answers": f"{same}/{len(ours)}",
                }
            )
    return rows


def layouts(pictures: int, questions: int) -> list[Row]:
    """Pictures that go through the demo models' towers, on copies of POPE's and MME's layouts."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        photographs = write_photographs(root / "photographs", pictures, megapixels=0.05)
        write_long_pope(root / "POPE", photographs, questions)
        by_name = dict(zip(("wide", "square"), photographs, strict=False))
        write_mme(root / "MME" / "MME_Benchmark_release_version", by_name)
        numbered = write_photographs(root / "more", 28, megapixels=0.05)
        for path, other in zip(sorted((root / "MME").rglob("*.jpg")), numbered, strict=True):
            path.write_bytes(other.read_bytes())
        return [_count(kind, dataset, root) for dataset in ("POPE", "MME") for kind in _KINDS]


def pope(pictures: int, questions: int) -> list[Row]:
    """The same of POPE alone, whose three files have so many questions about each picture."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        photographs = write_photographs(root / "photographs", pictures, megapixels=0.05)
        write_long_pope(root / "POPE", photographs, questions)
        return [_count(kind, "POPE", root) for kind in _KINDS]


def _count(kind: type[RunConfig], dataset: str, root: Path) -> Row:
    flags = {
        "dataset": dataset, "data_root": str(root), "model_name": "demo", "device": "cpu",
        "output_folder": str(root / "out"), "map_store": False, "batch_size": 8,
    }  # fmt: skip
    more = {"max_new_tokens": 1} if kind is LlavaConfig else {}
    with counting_pictures() as seen:
        start = time.process_time()
        outcome = run(kind.resolve(flags | more, {}), Console(quiet=True), Launch())
        used = time.process_time() - start
    assert outcome.report is not None
    return {
        "set": dataset,
        "model": kind.__name__.removesuffix("Config"),
        "questions": outcome.report.finished,
        "pictures seen": sum(seen),
        "questions a picture": outcome.report.finished / sum(seen),
        "in model s": outcome.report.seconds_model,
        "CPU s in all": used,
    }


@contextmanager
def counting_pictures() -> Iterator[list[int]]:
    """How many pictures go through any image tower, by forward pass."""
    sizes: list[int] = []

    def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, torch.nn.Conv2d) and module.in_channels == 3:
            sizes.append(len(inputs[0]))

    handle = register_module_forward_pre_hook(note)
    try:
        yield sizes
    finally:
        handle.remove()


def _prepare(model: RelevanceModel, folder: Path, pictures: int) -> list[Prepared]:
    paths = write_photographs(folder / "photographs", pictures, megapixels=0.2)
    return [model.prepare(decode(path.read_bytes())) for path in paths]


def _forget(model: RelevanceModel) -> None:
    """Let a model not know the picture that it has just seen."""
    vars(model)["_last"] = None


def _separately(
    model: RelevanceModel, images: list[Prepared], asked: list[str], layer: int
) -> list[Relevance]:
    alone = [image._replace(pixels=image.pixels.clone()) for image in images]
    return [
        model.relevance([image], [question], [layer])[0]
        for image, question in zip(alone, asked, strict=True)
    ]


def _difference(ours: list[Relevance], theirs: list[Relevance]) -> float:
    """Of maps, relative to each map's largest value."""
    return max(
        float((np.abs(a.maps - b.maps).max((-2, -1)) / np.abs(b.maps).max((-2, -1))).max())
        for a, b in zip(ours, theirs, strict=True)
    )
