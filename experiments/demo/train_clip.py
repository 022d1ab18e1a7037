"""Train the demo CLIP from scratch on freshly drawn scenes, and export it as a model folder.

    python experiments/demo/train_clip.py --checkpoints /tmp/demo-clip --minutes 57

Interrupted, the same command goes on from the last checkpoint. On machines where page faults
dominate, let glibc keep its memory: MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ and
MALLOC_TOP_PAD_ set to 1000000000.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from clip_batches import FILL, Batches
from clip_losses import Losses
from open_clip.factory import get_tokenizer
from open_clip.model import CLIP
from questions import corpus
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from torch.utils.data import DataLoader

SEED = 1_000_003  # the demo set and the evaluation draw from other seeds
CONTEXT = 32
MEAN = FILL / 255
PAD, START, END = "<|pad|>", "<|start|>", "<|end|>"
VOCABULARY = 1500  # at most; 256 bytes, then pieces of words


def make_tokenizer(folder: Path) -> int:
    """Write a byte-level BPE tokenizer, which can spell any text; return its vocabulary size.

    Padding is token 0 and the end token has the highest id, where CLIP's argmax pooling looks.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        special_tokens=[PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens([START, END])
    start, end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, start), (END, end)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": START,
        "eos_token": END,
        "pad_token": PAD,
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
    }
    text = json.dumps(config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return tokenizer.get_vocab_size()


def make_config(args: argparse.Namespace, vocabulary: int) -> dict[str, Any]:
    """`open_clip_config.json` of the demo model."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {
                "image_size": args.image_size,
                "patch_size": args.patch_size,
                "width": args.width,
                "head_width": 64,
                "layers": args.layers,
            },
            "text_cfg": {
                "context_length": CONTEXT,
                "vocab_size": vocabulary,
                "hf_tokenizer_name": "demo_clip",  # any name: the folder's own files are used
                "width": 128,
                "heads": 4,
                "layers": 2,
            },
        },
        "preprocess_cfg": {
            "mean": [MEAN] * 3,
            "std": [0.25] * 3,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def export(model: CLIP, source: Path, destination: Path) -> None:
    """Replace the files of the model folder: weights in fp16, config and tokenizer."""
    destination.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().half().contiguous() for k, v in model.state_dict().items()}
    fresh = destination / "open_clip_model.safetensors.new"
    save_file(weights, fresh, metadata={"format": "pt"})
    for path in [p for p in source.iterdir() if p.suffix == ".json"]:
        copy = destination / f"{path.name}.new"
        shutil.copyfile(path, copy)
        copy.replace(destination / path.name)
    fresh.chmod(0o644)
    fresh.replace(destination / "open_clip_model.safetensors")


def parameter_groups(model: torch.nn.Module, losses: Losses) -> list[dict[str, Any]]:
    """Weight matrices decay; biases, norms, positions and the losses' own scales do not."""
    named = [*model.named_parameters(), *losses.named_parameters()]
    decay = [p for name, p in named if p.ndim > 1 and "positional" not in name]
    rest = [p for name, p in named if p.ndim <= 1 or "positional" in name]
    return [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]


def learning_rate(args: argparse.Namespace, step: int, progress: float) -> float:
    """Linear warm-up over steps, then a cosine over `progress` in [0, 1] of the time."""
    warm = min(1.0, (step + 1) / 200)
    return args.lr * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def train(args: argparse.Namespace) -> None:
    """Train for the given minutes, in one go or several."""
    folder: Path = args.checkpoints
    model_folder, state_file = folder / "model", folder / "state.pt"
    if not (model_folder / "open_clip_config.json").exists():
        vocabulary = make_tokenizer(model_folder)
        config = json.dumps(make_config(args, vocabulary), indent=2)
        (model_folder / "open_clip_config.json").write_text(config + "\n", encoding="utf-8")
    config = json.loads((model_folder / "open_clip_config.json").read_text(encoding="utf-8"))

    torch.manual_seed(args.seed)
    model = CLIP(**config["model_cfg"])
    losses = Losses()
    optimizer = torch.optim.AdamW(
        parameter_groups(model, losses), lr=args.lr, betas=(0.9, 0.98), fused=True
    )
    step, spent = 0, 0.0  # spent: seconds of training so far
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        losses.load_state_dict(state["losses"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
    elif args.start_from:
        model.load_state_dict(torch.load(args.start_from, weights_only=True)["model"])

    def save() -> None:
        fresh = state_file.with_suffix(".new")
        torch.save(
            {
                "model": model.state_dict(),
                "losses": losses.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": spent,
            },
            fresh,
        )
        fresh.replace(state_file)
        if args.export:
            export(model, model_folder, args.export)

    vision = config["model_cfg"]["vision_cfg"]
    stream = Batches(
        get_tokenizer(f"local-dir:{model_folder}"),
        seed=args.seed,
        start=step,
        scenes=args.batch_size,
        size=vision["image_size"],
        grid=vision["image_size"] // vision["patch_size"],
    )
    loader = DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8)
    total, saved = 60 * args.minutes, time.monotonic()
    mean: dict[str, float] = {}
    tick = time.monotonic()
    for batch in loader:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(args, step, spent / total)
        pixels = (batch.pixels.float() / 255 - MEAN) / 0.25
        parts = losses(model, pixels, batch)
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        now = time.monotonic()
        spent, tick = spent + now - tick, now
        for name, value in parts.items():
            mean[name] = mean.get(name, value.item()) * 0.98 + value.item() * 0.02
        if step % 50 == 0:
            rates = f"{step * args.batch_size / spent:.0f} scenes/s"
            shown = " ".join(f"{name} {value:.3f}" for name, value in mean.items())
            print(f"step {step} {spent / 60:.1f} min {rates} {shown}", flush=True)
        if now - saved > 60 * args.save_every:
            save()
            saved = now
        if spent >= total:
            break
    save()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the demo CLIP.")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder to work in")
    parser.add_argument("--export", type=Path, help="model folder to write at every checkpoint")
    parser.add_argument("--start-from", type=Path, help="another run's state.pt to take over")
    parser.add_argument("--minutes", type=float, default=57)
    parser.add_argument("--save-every", type=float, default=5, help="minutes")
    parser.add_argument("--batch-size", type=int, default=32, help="scenes")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--image-size", type=int, default=144)
    parser.add_argument("--patch-size", type=int, default=12)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    train(args)


if __name__ == "__main__":
    main()
