"""Write the set on which `make demo` ends: crowded scenes, a question each how many there are.

    python experiments/demo/make_counting.py

A scene shows four to eight things of 15 to 25 % of its side. One of a colour is asked about; it is
there once in half of the scenes, two to four times in the others. Up to three of the other things
are replaced by things that are shown already, in other colours, so that not every apple counts.
Neither training nor the choice of the mask's settings has seen scenes of this seed.
"""

from __future__ import annotations

import argparse
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
from make_dataset import row
from PIL import Image
from questions import Question, ask, groups
from scenes import SIZE_STEP, Scene, arrange
from things import COLOURS, THINGS, Thing

OUTPUT = Path(__file__).parents[2] / "datasets_manager" / "counting_data"
SEED = 7_2026
COUNT = 300
SIDE = 192  # pixels of a square scene; the demo models look at 144
QUALITY = 85
FEWEST, MOST = 4, 8  # things in a scene
SMALLEST, LARGEST = 0.15, 0.25  # of the scene's side
MOST_TWINS = 3

Cast = list[tuple[Thing, str | None]]


def _cast(rng: np.random.Generator, copies: int) -> Cast:
    """What a scene shows, the thing that is asked about first, `copies` times."""
    number = int(rng.integers(max(FEWEST, copies + 1), MOST + 1))
    coloured = [thing for thing in THINGS if thing.recolourable]
    palette = list(COLOURS)
    asked = coloured[rng.integers(len(coloured))], palette[rng.integers(len(palette))]
    others = [thing for thing in THINGS if thing is not asked[0]]
    picks = rng.choice(len(others), number - copies, replace=False)
    cast: Cast = [
        (others[i], palette[rng.integers(len(palette))] if others[i].recolourable else None)
        for i in picks
    ]
    shown = [asked, *(entry for entry in cast if entry[1] is not None)]
    for place in range(int(rng.integers(min(MOST_TWINS, len(cast)) + 1))):
        thing, color = shown[rng.integers(len(shown))]
        other = [c for c in palette if c != color]
        cast[place] = thing, other[rng.integers(len(other))]
    return [asked] * copies + cast


def _longest(rng: np.random.Generator, side: int) -> int:
    """A thing's longer side in pixels, on the series of sizes."""
    size = side * math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST)))
    return round(SIZE_STEP ** round(math.log(size, SIZE_STEP)))


def draw(seed: int, index: int, side: int = SIDE) -> tuple[Scene, Question]:
    """Scene and question number `index`; the answer is "one" for every second."""
    for attempt in range(1000):
        rng = np.random.default_rng((seed, index, attempt))
        copies = 1 if index % 2 == 0 else int(rng.integers(2, 5))
        cast = _cast(rng, copies)
        scene = arrange(rng, side, side, cast, partial(_longest, rng, side))
        if scene is None or len(scene.objects) < len(cast):
            continue
        [group] = [g for g in groups(scene) if 0 in g]  # a twin of a twin may add to it
        if (len(group) == 1) == (copies == 1) and len(group) <= 4:
            return scene, ask(rng, scene, group, "count")
    raise RuntimeError("no scene found that holds what it should; widen the scenes")


def write(folder: Path, count: int = COUNT) -> None:
    """Write `images/NNN.jpg` and `metadata.jsonl` into the folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        scene, question = draw(SEED, index)
        key = f"{index:03d}"
        name = f"images/{key}.jpg"
        Image.fromarray(scene.image).save(folder / name, quality=QUALITY, optimize=True)
        lines.append(json.dumps(row(key, name, scene, question)))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the counting set.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder to write into")
    write(parser.parse_args().output)


if __name__ == "__main__":
    main()
