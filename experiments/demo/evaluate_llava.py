"""Print what the demo LLaVA answers and where it looks, on fresh scenes.

    python experiments/demo/evaluate_llava.py --scenes 1000

The program's own code reads the maps and generates the answers, at default settings. A row is one
kind of question; every scene has one question about a random object.

- answer: share of answers that are right word for word.
- guess: what could be had without the question's noun or without the picture: the row's most
  frequent answer; for colours, one of the scene's colours; for neighbours, one of the others.
- map: the centre of the map's brightest patch lies in an asked object's box. Absent things have
  none and do not count. `by object`: how often a random object of the scene would be right.

Half the presence questions are about something that the scene does not show. Places go by thirds
of the image: "clear" leaves out objects whose centre is within 4% of a side of the lines between.
Scenes that are not square are padded; `paper` then stretches the square's map over the image, which
is geometrically wrong, `pad` cuts out the part that shows it; `squash` squashes them instead.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from evaluate_clip import fresh_scenes
from PIL import Image
from questions import KINDS, Kind, Question, Split, ask_absent
from scenes import Scene

from api_cli.masking import Array
from api_cli.relevance import Prepared
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint

SEED = 78_2025  # not the training's, not the demo set's
BATCH = 16
CLEAR = 0.04  # of a side
SIDES = ("left", "right", "above", "below")


class Outcome(NamedTuple):
    """What came of one question."""

    scene: Scene
    question: Question
    answer: str
    hit: float  # 1 where the map points at an asked object, NaN where there is none

    @property
    def right(self) -> bool:
        """Whether the answer is the expected one."""
        return self.answer == self.question.answer

    @property
    def colours(self) -> int:
        """Different colours in the scene."""
        return len({thing.color for thing in self.scene.objects if thing.color})

    @property
    def clear(self) -> bool:
        """Whether the asked object's centre lies well within a third, both ways."""
        centre = self.scene.objects[self.question.asked[0]].centre
        parts = [c / side for c, side in zip(centre, self.scene.size, strict=True)]
        return all(abs(part - line) > CLEAR for part in parts for line in (1 / 3, 2 / 3))


def stream(
    kind: Kind, *, square: bool, split: Split, seed: int
) -> Iterator[tuple[Scene, Question]]:
    """Endless scenes with a question of that kind; every second presence question is a no."""
    scenes = fresh_scenes(square=square, split=split, seed=seed, kinds=[kind])
    for index, (scene, question) in enumerate(scenes):
        if kind == "presence" and index % 2:
            yield scene, ask_absent(np.random.default_rng((seed, index)), scene, split)
        else:
            yield scene, question


def points(scene: Scene, question: Question, prepared: Prepared, m: Array) -> float:
    """Whether the brightest patch of map (h, w) lies in an asked box; NaN where there is none."""
    if not question.asked:
        return np.nan
    left, top, right, bottom = prepared.part.box
    row, column = divmod(int(m.argmax()), m.shape[-1])
    x = (column + 0.5 - left) / (right - left) * scene.size[0]
    y = (row + 0.5 - top) / (bottom - top) * scene.size[1]
    boxes = [scene.objects[i].box for i in question.asked]
    return float(any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes))


def run(
    model: LlavaRelevance, layer: int, samples: Iterator[tuple[Scene, Question]]
) -> list[Outcome]:
    """Ask every question; the map is read at `layer`, counted from 0."""
    outcomes = []
    while batch := list(islice(samples, BATCH)):
        prepared = [model.prepare(Image.fromarray(scene.image)) for scene, _ in batch]
        found = model.relevance(prepared, [question.text for _, question in batch], [layer])
        outcomes += [
            Outcome(*sample, one.facts["auxiliary_answer"], points(*sample, image, one.maps[0, 0]))
            for sample, image, one in zip(batch, prepared, found, strict=True)
        ]
    return outcomes


def guess(outcomes: Sequence[Outcome]) -> float:
    """The best that could be expected of a guess at questions of one kind."""
    kind = outcomes[0].question.kind
    if kind == "colour":
        return float(np.mean([1 / one.colours for one in outcomes]))
    if kind in SIDES:
        return float(np.mean([1 / (len(one.scene.objects) - 1) for one in outcomes]))
    return Counter(one.question.answer for one in outcomes).most_common(1)[0][1] / len(outcomes)


def part_of_place(answer: str, words: Sequence[str]) -> str:
    """The word of the two that the answer has, or neither."""
    return next((word for word in words if word in answer.split()), "")


def table_row(title: str, outcomes: Sequence[Outcome], at_best: float) -> str:
    """One line of the Markdown table."""
    asked = [one for one in outcomes if one.question.asked]
    by_object = np.mean([len(one.question.asked) / len(one.scene.objects) for one in asked])
    numbers = [
        np.mean([one.right for one in outcomes]),
        at_best,
        np.mean([one.hit for one in asked]),
        by_object,
    ]
    return f"| {title} | {len(outcomes)} | " + " | ".join(f"{x:.3f}" for x in numbers) + " |"


def axis_row(title: str, outcomes: Sequence[Outcome], words: Sequence[str]) -> str:
    """Places along one axis alone: how often the third is right."""
    truth = [part_of_place(one.question.answer, words) for one in outcomes]
    said = [part_of_place(one.answer, words) for one in outcomes]
    right = np.mean([a == b for a, b in zip(said, truth, strict=True)])
    at_best = Counter(truth).most_common(1)[0][1] / len(truth)
    return f"| {title} | {len(truth)} | {right:.3f} | {at_best:.3f} | | |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Print the demo LLaVA's accuracy.")
    parser.add_argument(
        "--scenes",
        type=int,
        default=1000,
        help="scenes a kind of question; in the last rows, in all",
    )
    parser.add_argument("--model-name", default="demo", help="as in `apiprompt llava`")
    parser.add_argument("--layer-index", type=int, help="layer to read; the model's own if not")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--quick", action="store_true", help="square scenes alone")
    args = parser.parse_args()

    checkpoint = LlavaCheckpoint(args.model_name)
    layer = checkpoint.default_layer if args.layer_index is None else args.layer_index
    layer %= checkpoint.number_of_layers
    models = {fit: LlavaRelevance(checkpoint, fit=fit) for fit in ("paper", "pad", "squash")}
    print("| questions | n | answer | guess | map | by object |\n|---|---|---|---|---|---|")

    def ask_all(fit: str, scenes: int, *, square: bool, split: Split) -> dict[Kind, list[Outcome]]:
        return {
            kind: run(
                models[fit],
                layer,
                islice(stream(kind, square=square, split=split, seed=args.seed), scenes),
            )
            for kind in KINDS
        }

    def all_kinds(title: str, found: Mapping[Kind, list[Outcome]]) -> None:
        everything = [one for outcomes in found.values() for one in outcomes]
        at_best = float(np.mean([guess(outcomes) for outcomes in found.values()]))
        print(table_row(title, everything, at_best), flush=True)

    found = ask_all("paper", args.scenes, square=True, split="train")
    for kind, outcomes in found.items():
        print(table_row(kind, outcomes, guess(outcomes)))
    all_kinds("all kinds", found)
    differ = [one for one in found["colour"] if one.colours > 1]
    print(table_row("colour, where objects differ in it", differ, guess(differ)))
    clear = [one for one in found["place"] if one.clear]
    print(table_row("place, clear of the lines", clear, guess(clear)))
    print(axis_row("place, across alone", found["place"], ("left", "right")))
    print(axis_row("place, down alone", found["place"], ("top", "bottom")), flush=True)
    if args.quick:
        return
    few = max(1, args.scenes // len(KINDS))
    unseen = ask_all("paper", few, square=True, split="test")
    all_kinds("all kinds, phrasing unseen in training", unseen)
    for fit in models:
        wide = ask_all(fit, few, square=False, split="train")
        all_kinds(f"all kinds, not square, fit {fit}", wide)


if __name__ == "__main__":
    main()
