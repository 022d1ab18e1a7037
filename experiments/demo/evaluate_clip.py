"""Print where the demo CLIP's maps and masks point, on fresh scenes.

    python experiments/demo/evaluate_clip.py --scenes 1000

A row is one `--fit` on square or on other scenes; every scene has one question of a random kind
about a random object. Where several objects answer to the question (two apples), each counts as
the asked object: a hit on any of them is a hit, and "asked box" is their union.

- cls map, patch map: the centre of the brightest patch (of the inverted patch map) lies in an
  asked box.
- mask: the mask at the image's size often saturates, so that its one brightest pixel means
  little. Its plateau is the pixels at or above 0.98 of the maximum; the centre of mass of the
  plateau's largest connected region has to lie in an asked box.
- argmax: the mask's first brightest pixel instead, for comparison.
- by area, by object: how often a random pixel, a random object would be right.
- asked, other, ground: mean mask (0 to 1) inside asked boxes, inside the other objects' boxes
  and elsewhere; then asked / other and asked / ground.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from make_dataset import AREA, LONGEST
from numpy.typing import NDArray
from PIL import Image
from questions import KINDS, Kind, Question, Split, ask_any
from scenes import Box, Scene, compose, random_shape
from skimage.measure import label

from api_cli.masking import Array, MaskSettings, clip_mask, resize_mask
from api_cli.relevance import Prepared
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.fit import FITS

SEED = 77_2025  # not the training's, not the demo set's
PLATEAU = 0.98
BATCH = 16


class Score(NamedTuple):
    """What one scene adds to a row; the columns of the table in order."""

    cls_map: float
    patch_map: float
    mask: float
    argmax: float
    by_area: float
    by_object: float
    asked: float
    other: float  # NaN where every object is asked about
    ground: float


def fresh_scenes(
    *, square: bool, split: Split, seed: int, kinds: Sequence[Kind] = KINDS
) -> Iterator[tuple[Scene, Question]]:
    """Endless scenes of the demo set's sizes with a question each, the same for the same seed."""
    for index in range(2**31):
        rng = np.random.default_rng((seed, index))
        width, height = random_shape(rng, AREA, square=square)
        scale = min(1.0, LONGEST / max(width, height))
        scene = compose(rng, round(width * scale), round(height * scale))
        question = ask_any(rng, scene, kinds, split)
        if question is not None:
            yield scene, question


def _inside(x: float, y: float, boxes: Sequence[Box]) -> float:
    return float(any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes))


def _area(boxes: Sequence[Box], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels of a (width, height) image lie in any of the boxes, (height, width)."""
    covered = np.zeros(size[::-1], dtype=bool)
    for x0, y0, x1, y1 in boxes:
        covered[y0:y1, x0:x1] = True
    return covered


def plateau_centre(mask: NDArray[np.float64]) -> tuple[float, float]:
    """Centre of mass (x, y) of the largest connected region near the mask's maximum."""
    regions = label(mask >= PLATEAU * mask.max())
    largest = np.bincount(regions.ravel())[1:].argmax() + 1
    y, x = np.nonzero(regions == largest)
    return x.mean() + 0.5, y.mean() + 0.5


def score(scene: Scene, question: Question, prepared: Prepared, maps: Array) -> Score:
    """Compare a sample's maps (2, h, w) and its mask at default settings with the boxes."""
    settings, size = MaskSettings(), scene.size
    asked = [scene.objects[i].box for i in question.asked]
    left, top, right, bottom = prepared.part.box

    def points_at(m: Array) -> float:
        row, column = divmod(int(m.argmax()), m.shape[-1])
        x = (column + 0.5 - left) / (right - left) * size[0]
        y = (row + 0.5 - top) / (bottom - top) * size[1]
        return _inside(x, y, asked)

    values = clip_mask(maps, settings).values
    picture = resize_mask(values, size, settings.interpolate_method_name, prepared.part.box)
    mask = np.asarray(picture) / 255
    brightest = divmod(int(mask.argmax()), size[0])
    in_asked = _area(asked, size)
    in_other = _area([one.box for one in scene.objects], size) & ~in_asked
    ground = ~in_asked & ~in_other
    return Score(
        points_at(maps[0]),
        points_at(-maps[1]),
        _inside(*plateau_centre(mask), asked),
        _inside(brightest[1], brightest[0], asked),
        in_asked.mean(),
        len(asked) / len(scene.objects),
        mask[in_asked].mean(),
        mask[in_other].mean() if in_other.any() else np.nan,
        mask[ground].mean() if ground.any() else np.nan,
    )


def evaluate(model: ClipRelevance, layer: int, scenes: Iterator[tuple[Scene, Question]]) -> Score:
    """Means over the scenes, read at `layer`, counted from 0."""
    scores: list[Score] = []
    while batch := list(islice(scenes, BATCH)):
        prepared = [model.prepare(Image.fromarray(scene.image)) for scene, _ in batch]
        found = model.relevance(prepared, [question.text for _, question in batch], [layer])
        scores += [
            score(scene, question, image, maps[0])
            for (scene, question), image, (maps, _) in zip(batch, prepared, found, strict=True)
        ]
    return Score(*np.nanmean(np.array(scores), axis=0))


def table_row(title: str, mean: Score) -> str:
    """One line of the Markdown table."""
    numbers = [f"{value:.2f}" for value in mean]
    ratios = [f"{mean.asked / mean.other:.1f}", f"{mean.asked / mean.ground:.1f}"]
    return "| " + " | ".join([title, *numbers, *ratios]) + " |"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Print the demo CLIP's pointing accuracy.")
    parser.add_argument("--scenes", type=int, default=1000, help="scenes a row")
    parser.add_argument("--model-name", default="demo", help="as in `apiprompt clip`")
    parser.add_argument("--layer-index", type=int, default=-2, help="layer to read")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--by-kind", action="store_true", help="add a row a kind of question")
    parser.add_argument("--quick", action="store_true", help="the first row alone")
    args = parser.parse_args()

    checkpoint = ClipCheckpoint(args.model_name)
    layer = args.layer_index % checkpoint.number_of_layers
    models = {fit: ClipRelevance(checkpoint, fit=fit) for fit in FITS}
    titles = ["scenes", "cls map", "patch map", "mask", "argmax", "by area", "by object"]
    titles += ["asked", "other", "ground", "asked / other", "asked / ground"]
    print("| " + " | ".join(titles) + " |")
    print("|---" * len(titles) + "|")

    def line(
        title: str, fit: str, *, square: bool, split: Split = "train", kinds: Sequence[Kind] = KINDS
    ) -> None:
        stream = fresh_scenes(square=square, split=split, seed=args.seed, kinds=kinds)
        mean = evaluate(models[fit], layer, islice(stream, args.scenes))
        print(table_row(title, mean), flush=True)

    line("paper, square", "paper", square=True)
    if args.quick:
        return
    line("paper, not square", "paper", square=False)
    for fit in FITS[1:]:
        line(f"{fit}, square", fit, square=True)
        line(f"{fit}, not square", fit, square=False)
    line("paper, square, phrasing unseen in training", "paper", square=True, split="test")
    if args.by_kind:
        for kind in KINDS:
            line(f"paper, square, {kind}", "paper", square=True, kinds=[kind])


if __name__ == "__main__":
    main()
