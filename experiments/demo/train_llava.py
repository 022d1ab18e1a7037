"""Train the demo LLaVA in two stages, and export it as a model folder.

The first stage, `tower`, teaches the demo CLIP's image tower to say on every patch what is there
and where; the second, `answers`, teaches all of it to answer. The weights that ship were made by

    python experiments/demo/train_llava.py tower --checkpoints /tmp/demo-llava --minutes 22
    python experiments/demo/train_llava.py answers --checkpoints /tmp/demo-llava --minutes 78 \
        --stop 32 --batch-size 16 --tower-lr 2e-4 --kept 0
    python experiments/demo/train_llava.py answers --checkpoints /tmp/demo-llava --minutes 82 \
        --stop 36 --batch-size 12 --questions 12 --tower-lr 2e-4 --kept 0 \
        --asked 1.5 --glance 0.5 --told 0.5 --first 0.6
    python experiments/demo/train_llava.py answers --checkpoints /tmp/demo-llava2 --minutes 49 \
        --start-from /tmp/demo-llava/answers.pt --batch-size 12 --questions 12 --tower-lr 2e-4 \
        --lr 8e-4 --asked 1.5 --glance 0.5 --told 0.5 --first 0.6 --kept 0.5 \
        --export /tmp/demo-llava2/model

and, to read crowded scenes and faded ones, on a GPU with 16 cores that draw 840 scenes a second:

    python experiments/demo/train_llava.py answers --checkpoints /tmp/demo-llava3 --minutes 8 \
        --start-from /tmp/demo-llava2/model --device cuda --workers 15 --batch-size 64 \
        --questions 8 --tower-lr 2e-4 --lr 6e-4 --asked 1.5 --glance 0.5 --told 0.5 --first 0.6 \
        --kept 0.5 --harder 0.6 --faded 0.5 --seed 3000017 --export api_cli/models/demo_llava

Without `--kept` (the first 36 minutes of answers) recoloured things were not told apart. A stopped
or interrupted command goes on from its folder's last checkpoint. On machines where page faults
dominate, let glibc keep its memory: MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ and
MALLOC_TOP_PAD_ set to 1000000000.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from llava_batches import (
    COLOUR_IDS,
    NO_NOUN,
    NOUNS,
    SIDES,
    Batch,
    Batches,
    Phrasebook,
    make_batch,
)
from llava_losses import Sight, Weights, answer, answer_losses, see
from llava_model import RELEVANCE_LAYER, export, make_config, make_model, make_processor
from numpy.random import default_rng
from questions import KINDS
from things import THING_BY_NAME
from torch import nn
from torch.utils.data import DataLoader
from transformers import LlavaForConditionalGeneration, LlavaProcessor

SEED = 2_000_003  # the demo set, the evaluation and the demo CLIP draw from other seeds
WARM_UP = 200  # steps
CHECKED = 120  # scenes of a report
CHECKS: dict[str, dict[str, float]] = {
    "ordinary": {},
    "faded": {"faded": 1},
    "harder": {"harder": 1},
}
WORD = 0.1  # standard deviation of first word embeddings


def bf16(device: torch.device) -> Any:
    """Autocast to bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16)


def parameter_groups(parts: list[tuple[nn.Module, float]]) -> list[dict[str, Any]]:
    """AdamW groups of modules with their learning rates; only weight matrices decay."""
    groups = []
    for module, rate in parts:
        named = list(module.named_parameters())
        matrix = [p for name, p in named if p.ndim > 1 and "embed" not in name]
        rest = [p for name, p in named if p.ndim <= 1 or "embed" in name]
        groups.append({"params": matrix, "peak": rate, "weight_decay": 0.05})
        groups.append({"params": rest, "peak": rate, "weight_decay": 0.0})
    return groups


def schedule(step: int, progress: float, floor: float) -> float:
    """Linear warm-up over steps, then a cosine to `floor` over `progress` in [0, 1] of the time."""
    return min(1.0, (step + 1) / WARM_UP) * (
        floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    )


@torch.no_grad()
def start_decoder(
    model: LlavaForConditionalGeneration, sight: Sight, processor: LlavaProcessor, batch: Batch
) -> None:
    """First weights of the projector and of the words that name things and colours.

    The projector's first layer whitens the features of `batch` and spreads them over its width;
    a word starts as what its head looks for in whitened features, spread in the same way. So one
    matrix, learnt for all words at once, can match words with patches.
    """
    features = see(model, batch.pixels).flatten(0, 1).double()
    mean = features.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(features.T))
    scale = values.clamp(min=1e-4 * values.max()).sqrt()
    first: nn.Linear = model.model.multi_modal_projector.linear_1
    spread = torch.linalg.qr(torch.randn(first.out_features, first.in_features).double()).Q
    whiten = vectors / scale  # (D, D), columns
    first.weight.copy_(spread @ whiten.T * 2)
    first.bias.copy_(-(spread @ whiten.T) @ mean * 2)
    second: nn.Linear = model.model.multi_modal_projector.linear_2
    second.weight.normal_(std=0.01).add_(WORD * torch.eye(second.in_features))

    words: nn.Embedding = model.model.language_model.embed_tokens
    words.weight.normal_(std=WORD)
    heads = sight.parts.weight.double() @ vectors * scale  # rows look at whitened features
    nouns, colours = heads[: len(NOUNS) + 1], heads[len(NOUNS) + 1 :][: len(COLOUR_IDS) + 1]
    codes = {name: nouns[i] - nouns[:-1].mean(dim=0) for name, i in NOUNS.items()}
    codes |= {THING_BY_NAME[name].plural: code for name, code in codes.items()}
    codes |= {color: colours[i] - colours[:-1].mean(dim=0) for color, i in COLOUR_IDS.items()}
    tokenizer: Any = processor.tokenizer
    for name, code in codes.items():
        code = spread @ code
        code = code / code.std() * WORD
        for token in tokenizer(f" {name}", add_special_tokens=False)["input_ids"]:
            words.weight[token] = code.float()


@torch.no_grad()
def calm(projector: Any) -> None:
    """Shrink image tokens that have grown so long that a step of the optimizer hardly turns them.

    The decoder's norms take out the length, so most of what was learnt stays.
    """
    for parameter in projector.linear_2.parameters():
        parameter.mul_(0.3)


@torch.no_grad()
def report_tower(model: LlavaForConditionalGeneration, sight: Sight, batch: Batch) -> str:
    """How often the heads are right on the patches that show objects."""
    with bf16(batch.pixels.device):
        features = see(model, batch.pixels)
    scene, patch, thing = batch.owner.T
    seen = sight.read(features.float()[scene, patch])
    coloured = batch.colour[thing] < len(COLOUR_IDS)

    def share(right: torch.Tensor, among: torch.Tensor | None = None) -> float:
        weight = batch.weight if among is None else batch.weight * among
        return float((right * weight).sum() / weight.sum())

    right = {
        "noun": share(seen.noun.argmax(-1) == batch.noun[thing]),
        "colour": share(seen.colour.argmax(-1) == batch.colour[thing], coloured),
        "place": share(seen.place.argmax(-1) == batch.place[thing]),
        "alike": share(seen.alike.argmax(-1) == batch.alike[thing]),
    }
    for i, side in enumerate(SIDES):
        there = batch.beside[thing][:, i, 0] != NO_NOUN
        right[side] = share(
            seen.beside_noun[:, i].argmax(-1) == batch.beside[thing][:, i, 0], there
        )
    off = share((seen.centre - batch.centre[thing]).abs().mean(dim=-1) / 2)
    shares = " ".join(f"{name} {value:.3f}" for name, value in right.items())
    return f"right: {shares}; centre off by {off:.4f} of a side"


@torch.no_grad()
def report_answers(model: LlavaForConditionalGeneration, prefix: torch.Tensor, batch: Batch) -> str:
    """By kind: the share of answers right word for word; and of first passes that point right."""
    with bf16(prefix.device):
        said = answer(model, see(model, batch.pixels), prefix, batch.ids, (RELEVANCE_LAYER,))
        best = model.lm_head(said.output).argmax(dim=-1)
    wrong = (best[..., :-1] != batch.ids[..., 1:]) & batch.answers[..., :-1]
    right = ~wrong.any(dim=-1)
    first = batch.answers & (batch.answers.cumsum(dim=-1) == 1)
    look = said.looks[RELEVANCE_LAYER][first].unflatten(0, batch.kind.shape)  # (B, Q, N)
    hit = batch.asked.gather(-1, look.argmax(dim=-1, keepdim=True)).squeeze(-1) > 0.5
    shown = batch.asked.amax(dim=-1) > 0
    shares = " ".join(
        f"{kind} {right[batch.kind == i].float().mean():.2f}" for i, kind in enumerate(KINDS)
    )
    return f"right: {shares}; points {hit[shown].float().mean():.3f}"


def train(args: argparse.Namespace) -> None:
    """Train a stage for the given minutes, in one go or several."""
    folder: Path = args.checkpoints
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / f"{args.stage}.pt"
    torch.manual_seed(args.seed)
    processor = make_processor()
    phrases = Phrasebook(processor)
    device = torch.device(args.device)
    prefix = torch.tensor(phrases.prefix, device=device)
    config = make_config(
        processor.tokenizer,
        tower_layers=args.tower_layers,
        layers=args.layers,
        width=args.width,
        inner=args.inner,
    )
    model = make_model(config)
    tower = model.model.vision_tower
    sight = Sight(config.vision_config.hidden_size)
    kept = Sight(config.text_config.hidden_size)
    answering = args.stage == "answers"
    weights = Weights(**{name: getattr(args, name) for name in Weights._fields})
    fresh_seed = args.seed + 1
    checks = {
        name: make_batch(
            default_rng(fresh_seed), phrases, scenes=CHECKED, questions=8 * answering, **how
        ).to(device)
        for name, how in CHECKS.items()
        if name == "ordinary" or args.harder or args.faded
    }
    check = checks["ordinary"]
    # Heads that start anew on a trained model learn alone at first.
    alone = WARM_UP if args.start_from and args.start_from.is_dir() else 0

    step, spent = 0, 0.0  # spent: seconds of training so far
    state: dict[str, Any] | None = None
    if state_file.exists():
        state = torch.load(state_file, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        sight.load_state_dict(state["sight"])
        kept.load_state_dict(state["kept"])
        step, spent = state["step"], state["spent"]
    elif args.start_from and args.start_from.is_dir():
        shipped = LlavaForConditionalGeneration.from_pretrained(args.start_from)
        model.load_state_dict(shipped.state_dict())
    elif args.start_from:
        before = torch.load(args.start_from, weights_only=True)
        model.load_state_dict(before["model"])
        sight.load_state_dict(before["sight"])
        calm(model.model.multi_modal_projector)
    elif answering:
        before = torch.load(folder / "tower.pt", weights_only=True)
        seen = {k: v for k, v in before["model"].items() if "vision_tower" in k}
        model.load_state_dict(seen, strict=False)
        sight.load_state_dict(before["sight"])
        start_decoder(model, sight, processor, check)
    for part in (model, sight, kept):
        part.to(device)

    parts: list[tuple[nn.Module, float]] = [(tower, args.tower_lr), (sight, args.tower_lr)]
    if answering:
        decoder = [model.model.multi_modal_projector, model.model.language_model, model.lm_head]
        parts += [(part, args.lr) for part in (*decoder, kept)]
    optimizer = torch.optim.AdamW(parameter_groups(parts), betas=(0.9, 0.98), fused=True)
    if state:
        optimizer.load_state_dict(state["optimizer"])
        for group, given in zip(optimizer.param_groups, parameter_groups(parts), strict=True):
            group["peak"] = given["peak"]

    def report() -> str:
        if answering:
            found = {n: report_answers(model, prefix, batch) for n, batch in checks.items()}
            return "".join(f"\n    {name}: {text}" for name, text in found.items())
        return report_tower(model, sight, check)

    def save() -> None:
        fresh = state_file.with_suffix(".new")
        torch.save(
            {
                "model": model.state_dict(),
                "sight": sight.state_dict(),
                "kept": kept.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "spent": spent,
            },
            fresh,
        )
        fresh.replace(state_file)
        if args.export:
            export(model, processor, args.export)
        print(f"step {step} {spent / 60:.1f} min {report()}", flush=True)

    stream = Batches(
        phrases,
        seed=args.seed,
        start=step,
        scenes=args.batch_size,
        questions=args.questions * answering,
        harder=args.harder,
        faded=args.faded,
    )
    loader = DataLoader(stream, batch_size=None, num_workers=args.workers, prefetch_factor=8)
    total, saved = 60 * args.minutes, time.monotonic()
    mean: dict[str, float] = {}
    tick = time.monotonic()
    for drawn in loader:
        batch = drawn.to(device)
        scale = schedule(step, spent / total, args.floor)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * scale
        with bf16(device):
            features = see(model, batch.pixels)
            hold = step < alone
            losses = sight(features.detach().float() if hold else features.float(), batch)
            if answering:
                losses = {k: args.sight * v for k, v in losses.items()}
                losses |= answer_losses(model, features, prefix, batch, weights, kept, hold)
        optimizer.zero_grad()
        values = torch.stack(list(losses.values()))
        values.sum().backward()
        for module, _ in parts:
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        step += 1
        now = time.monotonic()
        spent, tick = spent + now - tick, now
        for name, value in zip(losses, values.tolist(), strict=True):
            mean[name] = mean.get(name, value) * 0.98 + value * 0.02
        if step % 100 == 0:
            rates = f"{step * args.batch_size / spent:.0f} scenes/s"
            shown = " ".join(f"{name} {value:.3f}" for name, value in mean.items())
            print(f"step {step} {spent / 60:.1f} min {rates} {shown}", flush=True)
        if now - saved > 60 * args.save_every:
            save()
            saved = tick = time.monotonic()
        if spent >= min(total, 60 * args.stop):
            break
    save()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the demo LLaVA.")
    parser.add_argument("stage", choices=("tower", "answers"))
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder to work in")
    parser.add_argument(
        "--start-from", type=Path, help="another run's answers.pt, or a model folder, to take over"
    )
    parser.add_argument("--export", type=Path, help="model folder to write at every checkpoint")
    parser.add_argument("--minutes", type=float, default=22)
    parser.add_argument("--stop", type=float, default=math.inf, help="minutes, to go on later")
    parser.add_argument("--save-every", type=float, default=5, help="minutes")
    parser.add_argument("--batch-size", type=int, default=32, help="scenes")
    parser.add_argument("--questions", type=int, default=8, help="a scene, when answering")
    parser.add_argument("--lr", type=float, default=1e-3, help="of the projector and decoder")
    parser.add_argument("--tower-lr", type=float, default=1e-3)
    parser.add_argument("--floor", type=float, default=0.02, help="share of the rate at the end")
    parser.add_argument("--sight", type=float, default=0.2, help="weight when answering")
    parser.add_argument("--harder", type=float, default=0, help="share of harder scenes")
    parser.add_argument("--faded", type=float, default=0, help="share of scenes with faded parts")
    for name, weight in Weights._field_defaults.items():
        parser.add_argument(f"--{name}", type=float, default=weight, help="see llava_losses.py")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ...")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw scenes")
    parser.add_argument("--tower-layers", type=int, default=6)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--inner", type=int, default=640, help="width inside the decoder's MLPs")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    train(args)


if __name__ == "__main__":
    main()
