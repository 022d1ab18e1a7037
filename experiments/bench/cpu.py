"""CPU milliseconds of the belt's stages for one sample, beside the model."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from open_clip.transform import PreprocessCfg

from api_cli.masking import MaskSettings, blend, clip_mask, resize_mask
from api_cli.relevance.clip.transform import Transform
from api_cli.relevance.fit import resize_padded
from api_cli.runs.pictures import decode, encode
from experiments.bench.common import Row, write_photographs

_MEAN = (122, 116, 104)  # OpenAI's, which pads


def measure(photographs: int, rounds: int) -> list[Row]:
    """Median over photographs of a megapixel and rounds of each stage, on one thread.

    Stages follow the belt: read and prepare (ViT-L-14-336's pixels), then per setting of a sweep
    mask, resize, blend and encode.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            contents = [p.read_bytes() for p in write_photographs(Path(temporary), photographs)]
        times: dict[str, list[float]] = {}
        for _ in range(rounds):
            for content in contents:
                for stage, milliseconds in _stages(content).items():
                    times.setdefault(stage, []).append(milliseconds)
    finally:
        torch.set_num_threads(threads)
    median = {stage: statistics.median(values) for stage, values in times.items()}
    variant = sum(median[stage] for stage in ("mask", "resize of the mask", "blend", "encode jpg"))
    sample = median["digest"] + median["decode"] + median["prepare"] + variant
    quick = sample - median["prepare"] + median["prepare, bf16"]
    sums = {
        "a sample, jpg": sample,
        "a sample, jpg, bf16": quick,
        "each further variant, jpg": variant,
    }
    return [{"stage": name, "CPU ms": value} for name, value in (median | sums).items()]


def _stages(content: bytes) -> dict[str, float]:
    """CPU milliseconds by stage of one photograph."""
    image = decode(content)
    config = PreprocessCfg(size=336)
    maps = np.random.default_rng(0).standard_normal((2, 24, 24), dtype=np.float32)
    mask = clip_mask(maps, MaskSettings(5, 3))
    box = (0.0, 0.0, 24.0, 24.0)
    m8 = resize_mask(mask.values, image.size, "LANCZOS", box)
    masked = blend(image, m8, 0)
    exact, quick = Transform(config, quick=False), Transform(config, quick=True)
    work: dict[str, Callable[[], object]] = {
        "digest": lambda: hashlib.sha256(content).hexdigest(),
        "decode": lambda: decode(content),
        "prepare": lambda: exact(image),
        "prepare, bf16": lambda: quick(image),
        "prepare, padded": lambda: resize_padded(image, _MEAN, (336, 336)),
        "mask": lambda: clip_mask(maps, MaskSettings(5, 3)),
        "resize of the mask": lambda: resize_mask(mask.values, image.size, "LANCZOS", box),
        "blend": lambda: blend(image, m8, 0),
        "encode jpg": lambda: encode(masked, "jpg", 95),
        "encode png": lambda: encode(masked, "png", 95),
        "encode webp": lambda: encode(masked, "webp", 95),
    }
    times = {}
    for stage, run in work.items():
        start = time.process_time()
        run()
        times[stage] = 1e3 * (time.process_time() - start)
    return times
