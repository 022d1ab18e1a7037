"""The published way of computing the maps against ours: time and peak memory.

The published program forms, in every block, what each token adds to each other one: a tensor of
(1+N, 1+N, D), projected by the block's `out_proj` token pair by token pair. It is written here
from METHOD.md's description, for one image at a time, as there.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from api_cli.relevance import Prepared
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.fit import grid_part
from experiments.bench.common import Row, write_random_weights
from experiments.bench.peak import forget_peak, peak_megabytes


def measure(architecture: str) -> list[Row]:
    """Each way in a process of its own, so that its peak memory is its own."""
    with tempfile.TemporaryDirectory() as temporary:
        weights = write_random_weights(architecture, Path(temporary))
        results = {}
        for way in ("published", "ours"):
            command = [sys.executable, "-m", __name__, way, architecture, str(weights)]
            process = subprocess.run(command, check=True, capture_output=True, text=True)
            results[way] = json.loads(process.stdout.splitlines()[-1])
    published, ours = results["published"], results["ours"]
    return [
        {
            "model": architecture,
            "published s": published["seconds"],
            "ours s": ours["seconds"],
            "times faster": published["seconds"] / ours["seconds"],
            "published GB": published["gigabytes"],
            "ours GB": ours["gigabytes"],
            "times less": published["gigabytes"] / ours["gigabytes"],
        }
    ]


@torch.inference_mode()
def published_forward(visual: Any, pixels: torch.Tensor) -> torch.Tensor:
    """What every token adds to CLS in the second-to-last block, (1+N, D), the published way."""
    x = visual._embeds(pixels)[0]  # (1+N, D)
    tokens, width = x.shape
    wanted = x
    for index, block in enumerate(visual.transformer.resblocks):
        attn = block.attn
        heads = attn.num_heads
        qkv = block.ln_1(x) @ attn.in_proj_weight.T + attn.in_proj_bias
        q, k, v = qkv.view(tokens, 3, heads, -1).permute(1, 2, 0, 3)  # (H, 1+N, d) each
        a = (q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])).softmax(dim=-1)  # (H, 1+N, 1+N)
        each = torch.einsum("hnm,hmd->nmhd", a, v).reshape(tokens, tokens, width)
        each = each @ attn.out_proj.weight.T  # (1+N, 1+N, D)
        if index == len(visual.transformer.resblocks) - 2:
            wanted = each[0]
        x = x + each.sum(dim=1) + attn.out_proj.bias
        x = x + block.mlp(block.ln_2(x))
    return torch.as_tensor(wanted)


def _measure_one(way: str, architecture: str, weights: str) -> None:
    """Print seconds of one image and the peak of memory beyond the loaded model."""
    model = ClipRelevance(ClipCheckpoint(architecture, weights))
    forget_peak()
    before = peak_megabytes()
    size = model.model.visual.image_size
    pixels = torch.randn(1, 3, *size)

    def work() -> None:
        if way == "published":
            published_forward(model.model.visual, pixels)
            model.model.encode_text(model.tokenizer(["what is it?"]))
        else:
            part = grid_part("paper", size, model.grid)
            image = Prepared(pixels[0], part)
            model.relevance([image], ["what is it?"], [model.number_of_layers - 2])

    rounds = 1 if way == "published" else 5
    if rounds > 1:
        work()
    start = time.perf_counter()
    for _ in range(rounds):
        work()
    seconds = (time.perf_counter() - start) / rounds
    print(json.dumps({"seconds": seconds, "gigabytes": (peak_megabytes() - before) / 1e3}))


if __name__ == "__main__":
    _measure_one(*sys.argv[1:])
