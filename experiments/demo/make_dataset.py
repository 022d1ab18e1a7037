"""Write the demo set that ships with the package: 64 scenes of one fixed seed.

    python experiments/demo/make_dataset.py

Training draws from seeds of its own (see `train_clip.py`), so no model here has seen these.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from questions import KINDS, Question, ask_any
from scenes import Scene, compose, random_shape

OUTPUT = Path(__file__).parents[2] / "datasets_manager" / "demo_data"
SEED = 64_2409  # the demo set's own; training and evaluation use others
COUNT = 64
AREA = 384 * 384  # pixels of a scene; the longer side comes to 384 (square) up to 512
LONGEST = 512
QUALITY = 90


def draw(index: int) -> tuple[Scene, Question]:
    """Scene and question number `index`; kinds take turns, every second scene is square."""
    kind = KINDS[(index // 2) % len(KINDS)]
    for attempt in range(1000):
        rng = np.random.default_rng((SEED, index, attempt))
        width, height = random_shape(rng, AREA, square=index % 2 == 0)
        scale = min(1.0, LONGEST / max(width, height))
        scene = compose(rng, round(width * scale), round(height * scale))
        question = ask_any(rng, scene, [kind])
        repeats = question is not None and len(question.asked) > 1
        if question is not None and (kind != "count" or repeats):
            return scene, question
    raise RuntimeError(f"no scene found that allows a {kind} question; widen the scenes")


def row(key: str, file_name: str, scene: Scene, question: Question) -> dict[str, Any]:
    """The sample's line of `metadata.jsonl`; boxes are [x0, y0, x1, y1] in pixels.

    `asked` holds the indices, into `objects`, of everything the question's noun fits, `boxes` their
    boxes, and `box` that of the largest.
    """
    return {
        "file_name": file_name,
        "key": key,
        "question": question.text[0].upper() + question.text[1:],
        "answer": question.answer,
        "kind": question.kind,
        "box": question.box,
        "asked": question.asked,
        "objects": [{"name": thing.label, "box": thing.box} for thing in scene.objects],
        "boxes": [scene.objects[i].box for i in question.asked],
    }


def write(folder: Path) -> None:
    """Write `images/NNN.jpg` and `metadata.jsonl` into the folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(COUNT):
        scene, question = draw(index)
        key = f"{index:03d}"
        name = f"images/{key}.jpg"
        Image.fromarray(scene.image).save(folder / name, quality=QUALITY, optimize=True)
        lines.append(json.dumps(row(key, name, scene, question)))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Write the demo set.")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder to write into")
    write(parser.parse_args().output)


if __name__ == "__main__":
    main()
