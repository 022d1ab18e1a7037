"""Twelve combinations against one: what a sweep costs beside its one forward pass."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

from api_cli.masking import MaskSettings
from experiments.bench.common import Bench, Row, compare

CONTRASTS = (1, 5, 10)


def measure(architecture: str, photographs: int, rounds: int) -> list[Row]:
    """Time of 4 layers x 3 contrasts over that of the deepest layer at one contrast."""
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(architecture, photographs, Path(temporary))
        deepest = bench.model.number_of_layers - 2
        layers = range(deepest - 3, deepest + 1)
        sweep = [(layer, MaskSettings(coe)) for layer, coe in product(layers, CONTRASTS)]
        ratio = compare(
            lambda: bench.run(sweep), lambda: bench.run([(deepest, MaskSettings())]), rounds
        )
        return [
            {
                "model": architecture,
                "photographs": photographs,
                "12 combinations s": ratio.a_seconds,
                "1 combination s": ratio.b_seconds,
                "12 / 1": ratio.median,
                "lowest": ratio.low,
                "highest": ratio.high,
            }
        ]
