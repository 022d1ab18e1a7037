"""Draw the README's picture: scenes, their masked images of several runs below, and what was said.

apiprompt clip && apiprompt llava
python experiments/demo/contact_sheet.py docs/demo.jpg --samples 0 12 24 --runs RUN_FOLDER ...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

from datasets_manager import get_dataset

TILE, GAP, TITLE = 230, 8, 26


def draw(run_folders: list[Path], indices: list[int]) -> Image.Image:
    """One column a sample of the demo set: question, scene, masked images, the model's answer."""
    samples = get_dataset("demo")
    runs = [(folder, _rows(folder)) for folder in run_folders]
    size = (len(indices) * (TILE + GAP) - GAP, 2 * TITLE + (1 + len(runs)) * (TILE + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    writing, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, index in enumerate(indices):
        left = column * (TILE + GAP)
        writing.text((left + 2, 6), samples[index].question, fill="black", font=font)
        pictures = [samples[index].image]
        for folder, rows in runs:
            pictures.append(folder / rows[index]["file_name"])
            said = rows[index].get("auxiliary_answer")
            if said is not None:
                writing.text((left + 2, size[1] - 20), f"LLaVA: {said}", fill="black", font=font)
        for row, path in enumerate(pictures):
            with Image.open(path) as picture:  # type: ignore[arg-type]
                tile = ImageOps.contain(picture.convert("RGB"), (TILE, TILE))
            top = TITLE + row * (TILE + GAP)
            sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
    return sheet


def _rows(run_folder: Path) -> dict[int, dict[str, Any]]:
    lines = (run_folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["index"]: row for row in map(json.loads, lines)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=draw.__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--samples", type=int, nargs="+", required=True)
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="run folders")
    args = parser.parse_args()
    draw(args.runs, args.samples).save(args.picture, quality=88)
