"""Print how the maps of published recipes point, side by side, with the demo LLaVA.

    python experiments/demo/make_scenes.py scenes --count 400
    python experiments/demo/compare_recipes.py scenes

A map is what a recipe brings to its rendering: all its steps but contrast, floor, regions kept and
the rendering itself, scaled to [0, 1]. The recipes' own layers are those of other models, so each
has the layers that `apiprompt profile llava` finds best in this one: the first, or the first two
where the recipe averages layers. It shows the program, not the methods: the model was trained with
the very attention that API reads, on such scenes, and never saw a general question.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from api_cli.masking import LLAVA, Array, MaskSettings
from api_cli.options.prompt import GENERAL_QUESTION
from api_cli.profiling.boxes import cover, read_boxes, to_fractions
from api_cli.profiling.choosing import Figure, figures
from api_cli.profiling.metrics import Score, score
from api_cli.relevance import Prepared, Read
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.runs.pictures import decode
from datasets_manager import DatasetOptions, get_dataset

BEST, SECOND = 2, 1  # layers, by `apiprompt profile llava`
BATCH = 8
SHORT = " Answer the question using a single word or phrase."  # ViCrop's, behind both questions
PLAIN = MaskSettings(enhance_coe=None, kernel_size=1)


class Recipe(NamedTuple):
    """A published recipe's map (RECIPES.md)."""

    name: str
    reads: tuple[Read, ...]
    settings: MaskSettings
    suffix: str = ""


def averaged(softmax: str, tokens: str) -> tuple[Read, ...]:
    """Reads of the two layers whose mean a recipe takes."""
    return Read(SECOND, softmax, tokens), Read(BEST, softmax, tokens)


RECIPES = (
    Recipe("API", (Read(BEST),), PLAIN),
    Recipe("API, its mask", (Read(BEST),), MaskSettings()),
    Recipe("VEA", averaged("all", "first"), PLAIN._replace(denoise=10, smooth=0.5)),
    Recipe("VEA, not smoothed", averaged("all", "first"), PLAIN._replace(denoise=10)),
    Recipe("ViCrop", (Read(BEST, "all", "first"),), PLAIN._replace(relative="ratio"), SHORT),
    Recipe("CARVE", averaged("all", "linear"), PLAIN._replace(relative="ratio")),
)


def maps_of(
    model: LlavaRelevance, images: list[Prepared], questions: list[str]
) -> dict[str, list[Array]]:
    """Each recipe's map, (h, w) in [0, 1], of each image; a prompt is read once for all recipes."""
    found: dict[str, list[Array]] = {}
    for suffix in dict.fromkeys(recipe.suffix for recipe in RECIPES):
        recipes = [recipe for recipe in RECIPES if recipe.suffix == suffix]
        reads = list(dict.fromkeys(read for recipe in recipes for read in recipe.reads))
        prompts = [read.of_prompt for read in reads]
        same, none = [GENERAL_QUESTION + suffix] * len(images), range(len(images))
        ours = model.relevance(images, [question + suffix for question in questions], reads)
        theirs = model.relevance(images, same, prompts, none)
        for name, used, settings, _ in recipes:
            places = [reads.index(read) for read in used]
            found[name] = [
                LLAVA.make_mask(
                    one.maps[places].mean(axis=0), settings, general.maps[places].mean(axis=0)
                ).values
                for one, general in zip(ours, theirs, strict=True)
            ]
    return found


def evaluate(folder: Path) -> dict[str, tuple[Figure, Figure, Figure]]:
    """AUROC, pointing and mass of each recipe, over the scenes of an image folder with boxes."""
    model = LlavaRelevance(LlavaCheckpoint("demo"), fit="pad")
    samples = get_dataset("imagefolder", folder, DatasetOptions())
    scores: dict[str, list[Score]] = {recipe.name: [] for recipe in RECIPES}
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        pictures = [decode(sample.read_image()) for sample in batch]
        images = [model.prepare(picture) for picture in pictures]
        for name, maps in maps_of(model, images, [sample.query for sample in batch]).items():
            for sample, picture, image, map_ in zip(batch, pictures, images, maps, strict=True):
                boxes = read_boxes(sample.extra["boxes"], "xyxy", "boxes")
                fractions = to_fractions(boxes, "pixels", picture.size, "boxes")
                cells = cover(fractions, image.part.box, (map_.shape[0], map_.shape[1]))
                scores[name].append(score(map_, cells))
    keys = [sample.key for sample in samples]
    found = {}
    for name, of in scores.items():
        auroc, pointing, mass = figures(np.array(of), keys, resamples=10_000, seed=0)
        found[name] = auroc, pointing, mass
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Print how recipes' maps point.")
    parser.add_argument("folder", type=Path, help="of `make_scenes.py`")
    found = evaluate(parser.parse_args().folder)
    print("| map | AUROC | 95 % | pointing | 95 % | mass inside | 95 % |")
    print("|---|---|---|---|---|---|---|")
    for name, row in found.items():
        cells = [
            text for mean, (low, high) in row for text in (f"{mean:.3f}", f"{low:.3f} {high:.3f}")
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
