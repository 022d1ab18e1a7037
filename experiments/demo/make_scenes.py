"""Write fresh scenes with boxes as an image folder, to profile the demo models on.

    python experiments/demo/make_scenes.py scenes --count 400
    apiprompt profile llava --dataset imagefolder --data-root scenes --model-name demo

Rows are those of the demo set; neither training, evaluation nor the demo set has seen the seed.
"""

from __future__ import annotations

import argparse
import json
from itertools import islice
from pathlib import Path

from evaluate_clip import fresh_scenes
from make_dataset import QUALITY, row
from PIL import Image

SEED = 79_2026


def write(folder: Path, count: int, *, square: bool, seed: int = SEED) -> None:
    """Write `images/NNNN.jpg` and `metadata.jsonl` into the folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    scenes = islice(fresh_scenes(square=square, split="train", seed=seed), count)
    for index, (scene, question) in enumerate(scenes):
        key = f"{index:04d}"
        name = f"images/{key}.jpg"
        Image.fromarray(scene.image).save(folder / name, quality=QUALITY)
        lines.append(json.dumps(row(key, name, scene, question)))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write fresh scenes with boxes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--not-square", action="store_true", help="1.2:1 to 2:1, either way")
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    write(args.folder, args.count, square=not args.not_square, seed=args.seed)
