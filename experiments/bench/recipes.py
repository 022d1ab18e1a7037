"""The steps of RECIPES.md: what twelve settings cost from kept maps, and `--relative`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path

import torch

from api_cli.masking import CLIP, Keep, MaskSettings, apply_mask
from api_cli.options.launch import default_num_workers
from api_cli.options.prompt import GENERAL_QUESTION
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.runs.map_store import MapStore
from api_cli.runs.pictures import decode, encode
from experiments.bench.common import Bench, Ratio, Row, compare, cpu_seconds, write_photographs

TWELVE = [
    MaskSettings(coe, smooth=smooth, floor=floor, keep=keep)
    for coe, smooth, (floor, keep) in product(
        (5, None), (None, 0.5), ((0, None), (0.5, None), (0, Keep(0.4, 2)))
    )
]


def kept_maps(photographs: int, rounds: int) -> list[Row]:
    """CPU time of twelve settings from kept maps over that of their pictures alone.

    The pictures alone: each photograph is decoded once, and each setting's mask, which is there,
    blended, encoded and written.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bench = Bench("ViT-B-32", photographs, folder)
        store = MapStore(folder / "maps", {})
        layer = bench.model.number_of_layers - 2
        bench.run([(layer, MaskSettings())], store, "the first run")
        [(maps, _)] = bench.model.relevance(
            [bench.model.prepare(decode(bench.paths[0].read_bytes()))], ["what?"], [layer]
        )
        masks = [CLIP.make_mask(maps[0], settings, None) for settings in TWELVE]
        box = (0, 0, *bench.model.grid[::-1])
        out = folder / "bare"
        out.mkdir()

        def one(path: Path) -> None:
            image = decode(path.read_bytes())
            for number, (mask, settings) in enumerate(zip(masks, TWELVE, strict=True)):
                content = encode(apply_mask(image, mask, settings, box), "jpg", 95)
                (out / f"{number}_{path.name}").write_bytes(content)

        def bare() -> None:
            with ThreadPoolExecutor(default_num_workers("auto")) as pool:
                list(pool.map(one, bench.paths))

        def from_maps() -> None:
            done = bench.run([(layer, settings) for settings in TWELVE], store, "the first run")
            assert done.seconds_model == 0, "the model was used"

        ratio = compare(from_maps, bare, rounds, cpu_seconds)
        return [_row(f"{len(TWELVE)} settings from kept maps, {photographs} photographs", ratio)]


def relative(pictures: int, rounds: int) -> list[Row]:
    """CPU time of answers of 20 tokens with the general question over that without; demo model."""
    with tempfile.TemporaryDirectory() as temporary:
        model = LlavaRelevance(LlavaCheckpoint("demo"), fit="squash", device="cpu")
        model.model.generation_config.eos_token_id = None  # so that every answer has 20 tokens
        model._end = torch.tensor([-1])
        paths = write_photographs(Path(temporary), pictures)
        images = [model.prepare(decode(path.read_bytes())) for path in paths]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    for number in (1, 6):
        questions = [f"what colour is the {n} one?" for n in range(number)]

        def work(with_general: bool, questions: Sequence[str] = questions) -> None:
            for image in images:
                model._last = None
                asked = [*questions, *([GENERAL_QUESTION] if with_general else [])]
                unanswered = [len(questions)] if with_general else []
                model.relevance([image] * len(asked), asked, [2], unanswered)

        both: tuple[Callable[[], None], Callable[[], None]] = (
            partial(work, True),
            partial(work, False),
        )
        ratio = compare(*both, rounds, cpu_seconds)
        rows.append(_row(f"--relative, {number} questions a picture, 20 tokens", ratio))
    torch.set_num_threads(threads)
    return rows


def _row(what: str, ratio: Ratio) -> Row:
    return {
        "what": what,
        "with CPU s": ratio.a_seconds,
        "without CPU s": ratio.b_seconds,
        "ratio": ratio.median,
        "lowest": ratio.low,
        "highest": ratio.high,
    }
