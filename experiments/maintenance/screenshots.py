"""`python -m experiments.maintenance.screenshots [FOLDER]`: make docs/show.jpg.

Masks, asks and scores 40 scenes with the demo models, opens the gallery in Chromium (Debian's
`chromium`, driven by the packages of the extra `[browser]`), and puts what a desk and a phone show
beside each other. With a FOLDER, every screenshot is left there to be looked at: desk and phone,
light and dark, list and enlarged.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL import Image

PICTURE = Path(__file__).parents[2] / "docs" / "show.jpg"
_SCREENS = {"desk": (1280, 900), "phone": (390, 844)}
_HEIGHT, _GAP = 620, 16  # pixels of the picture
_GROUND = (128, 132, 138)
_COUNTING = ("clip", "--dataset", "counting", "--model-name", "demo", "--range", "0", "40")
_MASK = ("--enhance-coe", "2", "--grayscale", "128", "--output-folder")


class Shot(NamedTuple):
    """A screenshot.

    Attributes:
        name: screen, colours and view: `desk-light-list`.
        image: in RGB.
    """

    name: str
    image: Image.Image


def main() -> None:
    """Make the picture."""
    with tempfile.TemporaryDirectory() as temporary:
        shots = {shot.name: shot.image for shot in take(make_gallery(Path(temporary)))}
    for folder in map(Path, sys.argv[1:2]):
        folder.mkdir(parents=True, exist_ok=True)
        for name, image in shots.items():
            image.save(folder / f"{name}.png")
    shown = [shots["desk-light-list"], shots["phone-dark-list"]]
    shown = [image.resize((image.width * _HEIGHT // image.height, _HEIGHT)) for image in shown]
    width = sum(image.width for image in shown) + _GAP * (len(shown) + 1)
    picture = Image.new("RGB", (width, _HEIGHT + 2 * _GAP), _GROUND)
    left = _GAP
    for image in shown:
        picture.paste(image, (left, _GAP))
        left += image.width + _GAP
    picture.save(PICTURE, quality=86)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


def make_gallery(root: Path) -> Path:
    """Mask scenes, also with other scenes' masks, ask about them, and make a page of it."""
    out = str(root / "experiments")
    apiprompt(*_COUNTING, *_MASK, out)
    apiprompt(*_COUNTING, *_MASK, out, "--shuffle-masks", "0")
    [runs] = Path(out).glob("APICLIP_*")
    apiprompt("ask", str(runs), "--plain", "--backend", "hf", "--model", "demo")
    apiprompt("score", *map(str, Path(out).glob("*_counting*")))
    return Path(apiprompt("show", str(runs), "--by", "kind").strip())


def apiprompt(*words: str) -> str:
    """Run the program; return its stdout."""
    command = [sys.executable, "-m", "api_cli", *words, "--quiet"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def take(page: Path) -> Iterator[Shot]:
    """The page on every screen, in every colours."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox"] if os.geteuid() == 0 else [],  # root's does not start
        )
        for screen, (width, height) in _SCREENS.items():
            for colours in ("light", "dark"):
                tab = browser.new_page(viewport={"width": width, "height": height},
                                       color_scheme=colours)  # fmt: skip
                tab.goto(page.as_uri())
                tab.locator("#pair").select_option("0")
                tab.wait_for_load_state("networkidle")
                yield Shot(f"{screen}-{colours}-list", picture_of(tab.screenshot()))
                tab.locator("main .picture").first.click()
                tab.wait_for_load_state("networkidle")
                yield Shot(f"{screen}-{colours}-enlarged", picture_of(tab.screenshot()))
        browser.close()


def picture_of(content: bytes) -> Image.Image:
    """A screenshot's picture."""
    return Image.open(io.BytesIO(content)).convert("RGB")


if __name__ == "__main__":
    main()
