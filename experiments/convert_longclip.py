"""`python experiments/convert_longclip.py longclip-L.pt FOLDER`: a LongCLIP as a model folder.

LongCLIP (arXiv 2403.15378; github.com/beichenzbc/Long-CLIP) is OpenAI's CLIP with 248 positions
of text. Its checkpoints hold two tables of positional embeddings: the first's rows 0 to 19 are
CLIP's and stayed as they were, the second's rows from 20 on were trained; the model adds their sum
under two masks. Put together they are one table, and the rest is an ordinary open_clip model:

    apiprompt clip --model-name FOLDER

Not run on the authors' weights here, which could not be had; on a file of the same layout it gives
the embeddings that the two tables give.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

KEPT = 20  # rows of the first table that count; of the second, all but those
HEAD = 64  # channels of an attention head in OpenAI's CLIPs
PARTS = ("visual.", "transformer.", "token_embedding.", "ln_final.")
SINGLE = ("text_projection", "logit_scale")


def convert(weights: dict[str, torch.Tensor]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """A LongCLIP's state dict to open_clip's configuration and state dict.

    Raises:
        ValueError: where it is no LongCLIP's.
    """
    weights = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    if "positional_embedding_res" not in weights:
        raise ValueError("no positional_embedding_res: this is not a LongCLIP checkpoint")
    first, second = weights["positional_embedding"], weights["positional_embedding_res"]
    ours = {k: v for k, v in weights.items() if k.startswith(PARTS) or k in SINGLE}
    ours["positional_embedding"] = torch.cat([first[:KEPT], second[KEPT:]])
    width, _, patch, _ = ours["visual.conv1.weight"].shape
    side = math.isqrt(len(ours["visual.positional_embedding"]) - 1)
    vocabulary, text_width = ours["token_embedding.weight"].shape
    model = {
        "embed_dim": ours["text_projection"].shape[1],
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": side * patch,
            "patch_size": patch,
            "width": width,
            "head_width": HEAD,
            "layers": _blocks(ours, "visual.transformer.resblocks."),
        },
        "text_cfg": {
            "context_length": len(second),
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": text_width // HEAD,
            "layers": _blocks(ours, "transformer.resblocks."),
        },
    }
    tensors = {name: tensor.float().contiguous() for name, tensor in ours.items()}
    return {"model_cfg": model, "preprocess_cfg": {}}, tensors


def _blocks(weights: dict[str, torch.Tensor], prefix: str) -> int:
    found = {name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)}
    return len(found)


def main(arguments: list[str] | None = None) -> None:
    """Convert a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[2].strip())
    parser.add_argument("checkpoint", type=Path, help="longclip-B.pt or longclip-L.pt")
    parser.add_argument("folder", type=Path, help="the model folder to write")
    given = parser.parse_args(arguments)
    loaded = torch.load(given.checkpoint, map_location="cpu", weights_only=True)
    description, weights = convert(loaded)
    given.folder.mkdir(parents=True)
    save_file(weights, given.folder / "open_clip_model.safetensors")
    (given.folder / "open_clip_config.json").write_text(json.dumps(description, indent=2) + "\n")


if __name__ == "__main__":
    main()
