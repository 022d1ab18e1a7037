"""A run against the bare model: what reading, masks and writing add to the forward pass."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import torch

from api_cli.masking import MaskSettings, clip_mask
from api_cli.pipeline import Belt, default_num_workers
from api_cli.relevance.checkpoint import ClipCheckpoint
from api_cli.relevance.clip import ClipRelevance
from experiments.bench.common import (
    Row,
    compare,
    make_jobs,
    write_photographs,
    write_random_weights,
)

BATCH_SIZE = 8


def measure(architecture: str, photographs: int, rounds: int) -> list[Row]:
    """Time of a run over that of `encode_image` and `encode_text` on ready tensors.

    The run decodes 1-megapixel photographs, masks them and writes JPEGs. The bare model runs all
    its blocks; the run stops at the default layer, the second to last.
    """
    with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
        folder = Path(temporary)
        paths = write_photographs(folder / "photographs", photographs)
        weights = write_random_weights(architecture, folder)
        model = ClipRelevance(ClipCheckpoint(architecture, str(weights)))
        weights.unlink()
        setting = (model.number_of_layers - 2, MaskSettings())
        names = itertools.count()
        reports = []

        def run() -> None:
            jobs = make_jobs(paths, [setting], folder / f"run{next(names)}")
            workers = default_num_workers("auto")
            reports.append(
                Belt(model, clip_mask, batch_size=BATCH_SIZE, num_workers=workers).run(jobs)
            )

        device = next(model.model.parameters()).device
        pixels = torch.randn(photographs, 3, *model.model.visual.image_size, device=device)
        tokens = model.tokenizer([f"what is thing {i} doing?" for i in range(photographs)])

        def bare() -> None:
            for start in range(0, photographs, BATCH_SIZE):
                model.model.encode_image(pixels[start : start + BATCH_SIZE])
                model.model.encode_text(tokens[start : start + BATCH_SIZE].to(device))

        ratio = compare(run, bare, rounds)
        last = reports[-1]
        return [
            {
                "model": architecture,
                "photographs": photographs,
                "run s": ratio.a_seconds,
                "bare s": ratio.b_seconds,
                "run/bare": ratio.median,
                "lowest": ratio.low,
                "highest": ratio.high,
                "in model s": last.seconds_model,
                "waiting to read s": last.seconds_reading,
                "waiting to write s": last.seconds_writing,
            }
        ]
