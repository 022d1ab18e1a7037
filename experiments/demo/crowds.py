"""Scenes harder than `scenes.compose`'s: more things, smaller ones, look-alikes, noise, crops.

Counts up to five are possible; a crop is a scene of its own, whose edge may cut things.
"""

from __future__ import annotations

import io
import math
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scenes import SIZE_STEP, Scene, SceneObject, arrange
from things import COLOURS, THINGS, Thing

Cast = list[tuple[Thing, str | None]]

CLEAR, GONE = 0.6, 0.2  # share of a thing's box that a crop shows: in full, or not at all


class Level(NamedTuple):
    """A difficulty.

    Attributes:
        things: fewest and most in a scene.
        size: smallest and largest longer side of a thing, as a share of sqrt(width * height).
        twins: at most so many things are shown ones in other colours.
        repeats: chance that a scene shows a thing several times.
        noise: largest amplitude of noise on a pixel, in levels of 255.
    """

    things: tuple[int, int]
    size: tuple[float, float]
    twins: int = 0
    repeats: float = 1 / 6
    noise: int = 0


MID = Level((4, 8), (0.15, 0.25), twins=3, repeats=0.4)
CROWDED = Level((8, 14), (0.09, 0.16), twins=4, repeats=0.3)
NOISY = MID._replace(noise=60)
TINY = Level((8, 14), (0.05, 0.08), twins=4, repeats=0.4)  # smaller than any in training


def cast(rng: np.random.Generator, level: Level) -> Cast:
    """What a scene shows; the first is there several times where any is."""
    number = int(rng.integers(level.things[0], level.things[1] + 1))
    palette = list(COLOURS)

    def colour(thing: Thing) -> str | None:
        return palette[rng.integers(len(palette))] if thing.recolourable else None

    chances = np.array([1.9 if thing.recolourable else 1.0 for thing in THINGS])
    picks = rng.choice(len(THINGS), number, replace=False, p=chances / chances.sum())
    shown: Cast = [(THINGS[i], colour(THINGS[i])) for i in picks]
    copies = 1
    if rng.random() < level.repeats:
        copies = min(int(rng.integers(2, 6)), number - 1)
        shown[:copies] = [shown[0]] * copies
    models = [entry for entry in shown if entry[1] is not None]
    room = min(level.twins, number - copies)
    if models and room > 0:
        for place in range(number - int(rng.integers(room + 1)), number):
            thing, own = models[rng.integers(len(models))]
            others = [color for color in palette if color != own]
            shown[place] = thing, others[rng.integers(len(others))]
    return shown


def longest_side(rng: np.random.Generator, level: Level, unit: float) -> int:
    """A thing's longer side in pixels, on the series of sizes; `unit` is sqrt(width * height)."""
    low, high = (math.log(share) for share in level.size)
    side = unit * math.exp(rng.uniform(low, high))
    return round(SIZE_STEP ** round(math.log(side, SIZE_STEP)))


def speckle(rng: np.random.Generator, image: NDArray[np.uint8], most: int) -> NDArray[np.uint8]:
    """The picture with uniform noise, grey or coloured, of an amplitude up to `most` levels."""
    strength = int(rng.integers(most // 3, most + 1))
    channels = 3 if rng.random() < 0.5 else 1
    grain = rng.integers(-strength, strength + 1, (*image.shape[:2], channels), dtype=np.int16)
    return (image + grain).clip(0, 255).astype(np.uint8)


def squeezed(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture as a JPEG file gives it back, of quality 60 to 95."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(rng.integers(60, 96)))
    return np.asarray(Image.open(file).convert("RGB"))


def compose_level(rng: np.random.Generator, width: int, height: int, level: Level) -> Scene:
    """One scene of that difficulty; what finds no room is left out."""
    side = partial(longest_side, rng, level, math.sqrt(width * height))
    scene = None
    while scene is None:
        scene = arrange(rng, width, height, cast(rng, level), side)
    return Scene(speckle(rng, scene.image, level.noise), scene.objects) if level.noise else scene


def crop(rng: np.random.Generator, scene: Scene, smallest: float) -> Scene | None:
    """A random part of the scene, its sides at least `smallest` of the scene's; None for none.

    Things are in it in full, or at least by `CLEAR`, or hardly at all, so that what it shows has
    one truth.
    """
    width, height = scene.size
    for _ in range(10):
        share = rng.uniform(smallest, 1)
        ratio = math.exp(rng.uniform(-0.4, 0.4))
        w = min(width, round(width * share * math.sqrt(ratio)))
        h = min(height, round(height * share / math.sqrt(ratio)))
        left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
        inside = [_cut(thing, (left, top, w, h)) for thing in scene.objects]
        shares = [part.area / thing.area for part, thing in zip(inside, scene.objects, strict=True)]
        if all(share <= GONE or share >= CLEAR for share in shares):
            kept = [part for part, share in zip(inside, shares, strict=True) if share >= CLEAR]
            if kept:
                return Scene(scene.image[top : top + h, left : left + w], tuple(kept))
    return None


def _cut(thing: SceneObject, part: tuple[int, int, int, int]) -> SceneObject:
    left, top, width, height = part
    x0, x1 = (min(max(x - left, 0), width) for x in (thing.box[0], thing.box[2]))
    y0, y1 = (min(max(y - top, 0), height) for y in (thing.box[1], thing.box[3]))
    return thing._replace(box=(x0, y0, x1, y1))
