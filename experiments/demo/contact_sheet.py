"""Draw the README's picture: scenes above, their masked images below, with the questions.

apiprompt clip && python experiments/demo/contact_sheet.py RUN_FOLDER docs/demo.jpg 0 12 24
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from datasets_manager import get_dataset

TILE, GAP, TITLE = 230, 8, 26


def draw(run_folder: Path, indices: list[int]) -> Image.Image:
    """One column a sample of the demo set."""
    samples = get_dataset("demo")
    rows = map(json.loads, (run_folder / "metadata.jsonl").read_text().splitlines())
    names = {row["index"]: row["file_name"] for row in rows}
    size = (len(indices) * (TILE + GAP) - GAP, TITLE + 2 * TILE + GAP)
    sheet = Image.new("RGB", size, "white")
    writing, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, index in enumerate(indices):
        left = column * (TILE + GAP)
        writing.text((left + 2, 6), samples[index].question, fill="black", font=font)
        for row, path in enumerate((samples[index].image, run_folder / names[index])):
            with Image.open(path) as picture:  # type: ignore[arg-type]
                tile = ImageOps.contain(picture.convert("RGB"), (TILE, TILE))
            top = TITLE + row * (TILE + GAP)
            sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
    return sheet


if __name__ == "__main__":
    draw(Path(sys.argv[1]), [int(word) for word in sys.argv[3:]]).save(sys.argv[2], quality=88)
