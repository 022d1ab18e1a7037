"""A run against the bare model: what reading, masks and writing add to the forward pass."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from api_cli.masking import MaskSettings
from experiments.bench.common import Bench, Row, compare

BATCH_SIZE = 8


def measure(architecture: str, photographs: int, rounds: int) -> list[Row]:
    """Time of a run over that of `encode_image` and `encode_text` on ready tensors.

    The run decodes 1-megapixel photographs, masks them and writes JPEGs. The bare model runs all
    its blocks; the run stops at the default layer, the second to last.
    """
    with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
        bench = Bench(architecture, photographs, Path(temporary))
        clip = bench.model.model
        setting = (bench.model.number_of_layers - 2, MaskSettings())
        device = next(clip.parameters()).device
        pixels = torch.randn(photographs, 3, *clip.visual.image_size, device=device)
        questions = [f"what is thing {i} of run0 doing?" for i in range(photographs)]
        tokens = bench.model.tokenizer(questions)
        reports = []

        def bare() -> None:
            for start in range(0, photographs, BATCH_SIZE):
                clip.encode_image(pixels[start : start + BATCH_SIZE])
                clip.encode_text(tokens[start : start + BATCH_SIZE].to(device))

        ratio = compare(lambda: reports.append(bench.run([setting])), bare, rounds)
        return [
            {
                "model": architecture,
                "photographs": photographs,
                "run s": ratio.a_seconds,
                "bare s": ratio.b_seconds,
                "run / bare": ratio.median,
                "lowest": ratio.low,
                "highest": ratio.high,
                "in model s": reports[-1].seconds_model,
                "waiting to read s": reports[-1].seconds_reading,
                "waiting to write s": reports[-1].seconds_writing,
            }
        ]
