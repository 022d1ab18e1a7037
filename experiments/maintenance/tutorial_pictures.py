"""`python -m experiments.maintenance.tutorial_pictures`: make the pictures of docs/tutorial.md.

With the commands that the page shows, on the drawn scenes that its tests take for photographs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.docs.scenes import write_scenes

FOLDER = Path(__file__).parents[2] / "docs" / "tutorial"
QUESTION = "What color is the chair?"
_GAP = 12  # pixels between two pictures


def apiprompt(folder: Path, *words: str) -> None:
    """Run a command in a folder, with the demo model."""
    subprocess.run([sys.executable, "-m", "api_cli", *words], cwd=folder, check=True)


def beside(*paths: Path) -> Image.Image:
    """Pictures of one height in a row, on white."""
    pictures = [Image.open(path).convert("RGB") for path in paths]
    width = sum(picture.width + _GAP for picture in pictures) - _GAP
    row = Image.new("RGB", (width, max(p.height for p in pictures)), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + _GAP
    return row


def main() -> int:
    """Make them."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_scenes(folder / "photos")
        first = folder / "photos" / "000.jpg"
        asked = ("--question", QUESTION, "--model-name", "demo", "--output", "first.jpg")
        apiprompt(folder, "clip", str(first), *asked)
        beside(first, folder / "first.jpg").save(FOLDER / "first.jpg", quality=85)
        apiprompt(
            folder, "clip", "--dataset", "imagefolder", "--data-root", "photos",
            *("--model-name", "demo", "--fit", "native", "--quiet"),
            *("--enhance-coe", "2,5", "--grayscale", "0,128"),
        )  # fmt: skip
        apiprompt(
            folder, "show", "experiments/APICLIP_imagefolder_demo_3",
            *("--contact-sheet", "sheet.jpg", "--range", "0", "4"),
        )  # fmt: skip
        sheet = Image.open(folder / "sheet.jpg")
        sheet.thumbnail((1400, 1400))
        sheet.save(FOLDER / "sheet.jpg", quality=80)
    return 0


if __name__ == "__main__":
    sys.exit(main())
