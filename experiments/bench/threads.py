"""What the belt's threads do beside the model, by their number: whether more of them do more."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from open_clip.transform import PreprocessCfg

from api_cli.masking import MaskSettings, apply_mask, clip_mask
from api_cli.relevance.clip.transform import Transform
from api_cli.runs.pictures import decode, encode
from experiments.bench.common import Row, cpu_seconds, seconds, write_photographs

_BOX = (0.0, 0.0, 24.0, 24.0)  # ViT-L-14-336's grid


def measure(numbers: Sequence[int], photographs: int) -> list[Row]:
    """Photographs of a megapixel a second, JPEG in and out, with so many threads.

    Reading is decoding and preparing for ViT-L-14-336, writing is mask, blend and encoding.
    """
    torch_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [_row(number, photographs) for number in numbers]
    finally:
        torch.set_num_threads(torch_threads)


def _row(number: int, photographs: int) -> Row:
    with tempfile.TemporaryDirectory() as temporary:
        contents = [p.read_bytes() for p in write_photographs(Path(temporary), 6)]
    images = [decode(content) for content in contents]
    maps = np.random.default_rng(0).standard_normal((2, 24, 24), dtype=np.float32)
    settings = MaskSettings(5, 3)
    transform = Transform(PreprocessCfg(size=336), quick=False)

    def read(i: int) -> None:
        transform(decode(contents[i % len(contents)]))

    def write(i: int) -> None:
        mask = clip_mask(maps, settings)
        encode(apply_mask(images[i % len(images)], mask, settings, _BOX), "jpg", 95)

    row: Row = {"threads": number}
    with ThreadPoolExecutor(number) as pool:
        for name, work in (("read", read), ("written", write)):
            all_of_them = partial(_all, pool, work, photographs)
            all_of_them()
            row[f"{name} a second"] = photographs / seconds(all_of_them)
            row[f"CPU ms each, {name}"] = 1e3 * cpu_seconds(all_of_them) / photographs
    return row


def _all(pool: ThreadPoolExecutor, work: Callable[[int], None], photographs: int) -> None:
    list(pool.map(work, range(photographs)))
