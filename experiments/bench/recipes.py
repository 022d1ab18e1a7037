"""The steps of RECIPES.md: what twelve settings cost from kept maps, and `--relative`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import torch
from PIL import Image

from api_cli.masking import CLIP, Array, Box, Keep, MaskSettings, apply_mask
from api_cli.options.prompt import GENERAL_QUESTION
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.runs.pictures import decode, encode
from experiments.bench.common import Ratio, Row, compare, cpu_seconds, write_photographs
from experiments.bench.kept_maps import Draw, against_alone

TWELVE = [
    MaskSettings(coe, smooth=smooth, floor=floor, keep=keep)
    for coe, smooth, (floor, keep) in product(
        (5, None), (None, 0.5), ((0, None), (0.5, None), (0, Keep(0.4, 2)))
    )
]


def kept_maps(photographs: int, rounds: int) -> list[Row]:
    """CPU time of twelve settings from kept maps over that of their pictures alone."""
    ratio = against_alone(TWELVE, _alone, photographs, rounds, cpu_seconds)
    return [_row(f"{len(TWELVE)} settings from kept maps, {photographs} photographs", ratio)]


def _alone(maps: Array, box: Box) -> Draw:
    masks = [CLIP.make_mask(maps, settings, None) for settings in TWELVE]

    def draw(image: Image.Image) -> Iterator[bytes]:
        for mask, settings in zip(masks, TWELVE, strict=True):
            yield encode(apply_mask(image, mask, settings, box), "jpg", 95)

    return draw


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
