"""Write a set of fresh scenes of one difficulty for the study, a question each.

    python experiments/demo/make_study.py --level crowded --scenes 400 --output /tmp/crowded

Five kinds of question take turns: colour, place, count, presence and what is beside. Every second
count is one; every second presence question is about something that is not there. Where things of
the same kind in other colours are shown, counts are about such. All scenes are square.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from crowds import CROWDED, MID, NOISY, TINY, Level, compose_level
from make_dataset import row
from PIL import Image
from questions import Kind, Question, ask, ask_absent, ask_any, groups, neighbour
from scenes import Box, Scene, compose

SIDE = 384  # pixels
QUALITY = 95
STUDY = 17_2026  # added to the seed, so that no other script draws these scenes
LEVELS: dict[str, Level | None] = {
    "ordinary": None,
    "look-alikes": MID,
    "crowded": CROWDED,
    "noisy": NOISY,
    "tiny": TINY,
}
KINDS = ("colour", "place", "count", "presence", "beside")
SIDES: tuple[Kind, ...] = ("left", "right", "above", "below")
SIZES = {
    "under 8 %": 0.08,
    "8 to 11 %": 0.11,
    "11 to 16 %": 0.16,
    "16 to 24 %": 0.24,
    "over 24 %": 1.0,
}


def draw(
    level: Level | None, seed: int, index: int, kinds: Sequence[str] = KINDS
) -> tuple[Scene, Question]:
    """Scene and question number `index`; kinds take turns."""
    kind, turn = kinds[index % len(kinds)], index // len(kinds)
    for attempt in range(1000):
        rng = np.random.default_rng((STUDY, seed, index, attempt))
        scene = compose_level(rng, SIDE, SIDE, level) if level else compose(rng, SIDE, SIDE)
        question = _ask(rng, scene, kind, turn)
        if question is not None:
            return scene, question
    raise RuntimeError(f"no scene found that allows a {kind} question; widen the scenes")


def _ask(rng: np.random.Generator, scene: Scene, kind: str, turn: int) -> Question | None:
    if kind == "count":
        return _count(rng, scene, one=turn % 2 == 0)
    if kind == "presence":
        return ask_absent(rng, scene) if turn % 2 else ask_any(rng, scene, ["presence"])
    if kind == "beside":
        return ask_any(rng, scene, SIDES)
    return ask_any(rng, scene, ["colour" if kind == "colour" else "place"])


def _count(rng: np.random.Generator, scene: Scene, *, one: bool) -> Question | None:
    fitting = [group for group in groups(scene) if (len(group) == 1) == one and len(group) <= 5]
    names = [thing.name for thing in scene.objects]

    def has_twins(group: tuple[int, ...]) -> bool:
        return names.count(names[group[0]]) > len(group)

    fitting = [group for group in fitting if has_twins(group)] or fitting
    if not fitting:
        return None
    return ask(rng, scene, fitting[rng.integers(len(fitting))], "count")


def answering(scene: Scene, question: Question) -> list[Box]:
    """Boxes of what the answer is read from, beside what is asked about."""
    if question.kind not in SIDES:
        return []
    other = neighbour(scene, question.asked[0], question.kind)
    return [other.box] if other else []


def size_of(scene: Scene, question: Question) -> str | None:
    """How large the asked thing is: the square root of its box's share of the picture."""
    if question.box is None:
        return None
    x0, y0, x1, y1 = question.box
    width, height = scene.size
    side = ((x1 - x0) * (y1 - y0) / (width * height)) ** 0.5
    return next(name for name, most in SIZES.items() if side <= most)


def study_row(key: str, file_name: str, scene: Scene, question: Question) -> dict[str, Any]:
    """The sample's line of `metadata.jsonl`: as the demo set's, with what the study groups by."""
    kind = "beside" if question.kind in SIDES else question.kind
    return row(key, file_name, scene, question) | {
        "kind": kind,
        "size": size_of(scene, question),
        "asked_boxes": [scene.objects[i].box for i in question.asked],
        "answer_boxes": answering(scene, question),
    }


def write(
    folder: Path, level: Level | None, seed: int, count: int, kinds: Sequence[str] = KINDS
) -> None:
    """Write `images/NNNN.jpg` and `metadata.jsonl` into the folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        scene, question = draw(level, seed, index, kinds)
        key = f"{index:04d}"
        name = f"images/{key}.jpg"
        Image.fromarray(scene.image).save(folder / name, quality=QUALITY)
        lines.append(json.dumps(study_row(key, name, scene, question)))
    unfinished = folder / "metadata.jsonl.new"  # last, so that a set that is there is whole
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unfinished.replace(folder / "metadata.jsonl")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write scenes of one difficulty.")
    parser.add_argument("--level", choices=LEVELS, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--output", type=Path, required=True, help="folder to write into")
    args = parser.parse_args()
    write(args.output, LEVELS[args.level], args.seed, args.scenes, args.kinds)


if __name__ == "__main__":
    main()
