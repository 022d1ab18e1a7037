"""Every rendering at a megapixel, and twelve of them from kept maps against their own work."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from api_cli.masking import Array, Box, Keep, Mask, MaskSettings, clip_mask
from api_cli.masking.renderings import RENDERINGS, Scene
from api_cli.runs.pictures import decode, encode
from experiments.bench.common import Row, cpu_seconds, write_photographs
from experiments.bench.kept_maps import Draw, against_alone

_KEEP = Keep(0.2, 1)
TWELVE = [
    *(MaskSettings(render=name) for name in RENDERINGS),
    *(MaskSettings(render=name, keep=_KEEP) for name in ("black", "outline", "crop")),
]


def measure(photographs: int, rounds: int) -> list[Row]:
    """CPU milliseconds of each rendering, drawn and encoded, beside `fade`; medians."""
    random = np.random.default_rng(0)
    mask = Mask(random.random((24, 24), dtype=np.float32), flat=False)
    with tempfile.TemporaryDirectory() as temporary:
        images = [decode(p.read_bytes()) for p in write_photographs(Path(temporary), photographs)]
    rows = []
    for name in RENDERINGS:
        times = [_times(name, Scene(image, mask, (0, 0, 24, 24))) for image in images * rounds]
        drawing, encoding = (statistics.median(stage) for stage in zip(*times, strict=True))
        rows.append({"rendering": name, "draw CPU ms": drawing, "encode jpg CPU ms": encoding})
    return rows


def _times(name: str, scene: Scene) -> tuple[float, float]:
    """CPU milliseconds of drawing, and of encoding what is drawn."""
    start = time.process_time()
    drawn = RENDERINGS[name].draw(scene, MaskSettings(render=name))
    between = time.process_time()
    for image in drawn.images.values():
        encode(image, "jpg", 95)
    return 1e3 * (between - start), 1e3 * (time.process_time() - between)


def twelve(photographs: int, rounds: int) -> list[Row]:
    """CPU time of a run of twelve renderings from kept maps over that of the pictures alone."""
    ratio = against_alone(TWELVE, _alone, photographs, rounds, cpu_seconds)
    return [
        {
            "photographs": photographs,
            "12 from kept maps CPU s": ratio.a_seconds,
            "12 alone CPU s": ratio.b_seconds,
            "ratio": ratio.median,
            "lowest": ratio.low,
            "highest": ratio.high,
        }
    ]


def _alone(maps: Array, box: Box) -> Draw:
    masks = {keep: clip_mask(maps, MaskSettings(keep=keep)) for keep in (None, _KEEP)}

    def draw(image: Image.Image) -> Iterator[bytes]:
        scenes = {keep: Scene(image, mask, box) for keep, mask in masks.items()}
        for settings in TWELVE:
            drawn = RENDERINGS[settings.render].draw(scenes[settings.keep], settings)
            for made in drawn.images.values():
                yield encode(made, "jpg", 95)

    return draw
