"""Print how well demo LLaVAs answer on fresh scenes, as they are and with parts faded.

    python experiments/demo/evaluate_answerer.py --models api_cli/models/demo_llava \
        api_cli/models/demo_answerer

Scenes and questions are those of `make_study.py`, of a seed of their own. A number is the share of
answers right word for word. A cell has one for each model, in their order.

- plain: the scene as it is.
- faded, lit: random parts concealed as in training, but all that the question names, and all that
  its answer is read from, lit.
- faded, asked lit: likewise, but what the answer names may be faded (it matters for what is
  beside something alone).
- box kept: everything faded to grey 128 but the boxes of what the question names, a tenth larger.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from fading import Fading, conceal, draw_fading, draw_mask
from llava_batches import Phrasebook
from llava_losses import answer, see
from llava_model import SIZE, make_processor
from make_study import KINDS, LEVELS, SIDES, answering, draw
from numpy.typing import NDArray
from PIL import Image
from questions import Question
from scenes import Box, Scene
from transformers import LlavaForConditionalGeneration

SEED = 3  # the study's own are 1 and 2
BATCH = 32
MARGIN = 0.05  # of a box's side, on every side


class Asked(NamedTuple):
    """A scene with its question, and its number, from which what is random about it is drawn."""

    scene: Scene
    question: Question
    index: int

    @property
    def kind(self) -> str:
        """One of KINDS."""
        return "beside" if self.question.kind in SIDES else self.question.kind

    @property
    def boxes(self) -> list[Box]:
        """Of all that the question names."""
        return [self.scene.objects[i].box for i in self.question.asked]


Condition = Callable[[Asked], NDArray[np.uint8]]


def lighted(size: tuple[int, int], boxes: Sequence[Box]) -> NDArray[np.float32]:
    """1 in the boxes and a little around them, (height, width), else 0."""
    mask = np.zeros((size[1], size[0]), np.float32)
    for x0, y0, x1, y1 in boxes:
        dx, dy = round(MARGIN * (x1 - x0)), round(MARGIN * (y1 - y0))
        mask[max(y0 - dy, 0) : y1 + dy, max(x0 - dx, 0) : x1 + dx] = 1
    return mask


def _faded(one: Asked, boxes: Sequence[Box]) -> NDArray[np.uint8]:
    rng = np.random.default_rng((SEED, one.index))
    mask, fading = draw_mask(rng, one.scene.size[0]), draw_fading(rng)
    return conceal(one.scene.image, np.maximum(mask, lighted(one.scene.size, boxes)), fading)


def _kept(one: Asked) -> NDArray[np.uint8]:
    if not one.boxes:  # an absent thing has none
        return one.scene.image
    return conceal(one.scene.image, lighted(one.scene.size, one.boxes), Fading(128, 0, 0))


CONDITIONS: dict[str, Condition] = {
    "plain": lambda one: one.scene.image,
    "faded, lit": lambda one: _faded(one, one.boxes + answering(one.scene, one.question)),
    "faded, asked lit": lambda one: _faded(one, one.boxes),
    "box kept": _kept,
}


@torch.inference_mode()
def are_right(
    model: LlavaForConditionalGeneration,
    phrases: Phrasebook,
    pictures: Iterator[tuple[NDArray[np.uint8], Question]],
) -> list[bool]:
    """Whether greedy answers are the expected ones: each token is, after those before it."""
    prefix = torch.tensor(phrases.prefix)
    right: list[bool] = []
    while batch := list(islice(pictures, BATCH)):
        small = [
            np.asarray(Image.fromarray(picture).resize((SIZE, SIZE), Image.Resampling.BICUBIC))
            for picture, _ in batch
        ]
        pixels = torch.from_numpy(np.stack(small).transpose(0, 3, 1, 2).copy())
        prompts = [phrases.prompt(question.text) for _, question in batch]
        wanted = [phrases.answer(question.answer) for _, question in batch]
        length = max(len(p) + len(w) for p, w in zip(prompts, wanted, strict=True))
        ids = torch.full((len(batch), 1, length), phrases.pad)
        for row, prompt, expected in zip(ids, prompts, wanted, strict=True):
            row[0, : len(prompt) + len(expected)] = torch.tensor(prompt + expected)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = answer(model, see(model, pixels), prefix, ids)
            best = model.lm_head(said.output).argmax(dim=-1)  # (B, 1, T)
        for row, prompt, expected in zip(best, prompts, wanted, strict=True):
            start = len(prompt) - 1
            right.append(row[0, start : start + len(expected)].tolist() == expected)
    return right


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Print demo LLaVAs' accuracy on faded scenes.")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="model folders")
    parser.add_argument("--scenes", type=int, default=500, help="a level")
    parser.add_argument("--levels", nargs="+", choices=LEVELS, default=list(LEVELS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    phrases = Phrasebook(make_processor())
    models = [LlavaForConditionalGeneration.from_pretrained(m).eval() for m in args.models]
    print("| scenes | question | n | " + " | ".join(CONDITIONS) + " |")
    print("|---|---|---|" + "---|" * len(CONDITIONS))
    for level in args.levels:
        asked = [Asked(*draw(LEVELS[level], SEED, i), i) for i in range(args.scenes)]
        right = np.array(
            [
                [
                    are_right(model, phrases, ((show(one), one.question) for one in asked))
                    for model in models
                ]
                for show in CONDITIONS.values()
            ]
        )  # (conditions, models, scenes)
        for kind in (*KINDS, "all"):
            chosen = np.array([kind in (one.kind, "all") for one in asked])
            cells = [" / ".join(f"{x:.3f}" for x in row) for row in right[..., chosen].mean(-1)]
            print(f"| {level} | {kind} | {chosen.sum()} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
