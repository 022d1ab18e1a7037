"""Draw docs/renderings.jpg: scenes of the demo set and photographs, in every rendering.

    python experiments/demo/renderings_sheet.py docs/renderings.jpg
    python experiments/demo/renderings_sheet.py sheet.png --tile 300 --samples 1 4 7 --keep 0.2:1

The demo CLIP makes the maps. It knows drawn things; of photographs it finds colours.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import skimage
from PIL import Image, ImageDraw, ImageFont, ImageOps

from api_cli.console import Console
from api_cli.masking.renderings import RENDERINGS
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.runs.run import run
from api_cli.runs.run_folder import picture_files
from datasets_manager import get_dataset

GAP, TITLE = 6, 22
PHOTOGRAPHS = {
    "astronaut.png": "an orange shirt",
    "coffee.png": "a red plate",
}


class Line(NamedTuple):
    """A line of the sheet.

    Attributes:
        question: that the picture was masked for.
        original: its file.
        pictures: what each rendering made of it, one file or two.
    """

    question: str
    original: Path
    pictures: list[list[Path]]


def draw(lines: Sequence[Line], tile: int) -> Image.Image:
    """One column for the originals and each rendering, a line a sample."""
    titles = ["original", *RENDERINGS]
    size = (len(titles) * (tile + GAP) - GAP, TITLE + len(lines) * (tile + TITLE))
    sheet = Image.new("RGB", size, "white")
    writing, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, title in enumerate(titles):
        writing.text((column * (tile + GAP) + 2, 3), title, fill="black", font=font)
    for row, line in enumerate(lines):
        top = TITLE + row * (tile + TITLE)
        for column, files in enumerate([[line.original], *line.pictures]):
            width = (tile - (len(files) - 1) * GAP // 2) // len(files)
            for number, file in enumerate(files):
                with Image.open(file) as picture:
                    shown = ImageOps.contain(picture.convert("RGB"), (width, tile))
                left = column * (tile + GAP) + number * (width + GAP // 2)
                sheet.paste(shown, (left, top + (tile - shown.height) // 2))
        writing.text((2, top + tile + 2), line.question, fill="black", font=font)
    return sheet


def lines_of(folder: Path, samples: Sequence[int] | None, **flags: Any) -> list[Line]:
    """Samples of a dataset (all where none are named) with what a run of all renderings made."""
    config = ClipConfig(
        model_name="demo",
        fit="pad",
        format="png",
        render=(*RENDERINGS,),
        output_folder=folder / "runs",
        **flags,
    )
    folders = run(config, Console(quiet=True), Launch()).folders
    rows = [{row["index"]: row for row in _rows(path)} for path in folders]
    lines = []
    for sample in get_dataset(config.dataset, config.data_root, config.dataset_options):
        if samples is None or sample.index in samples:
            made = [
                [path / name for name in picture_files(row[sample.index]).values()]
                for path, row in zip(folders, rows, strict=True)
            ]
            assert isinstance(sample.image, Path)
            lines.append(Line(sample.question, sample.image, made))
    return lines


def write_photographs(folder: Path) -> Path:
    """Photographs of scikit-image with questions, as an image folder."""
    folder.mkdir()
    rows = []
    for name, question in PHOTOGRAPHS.items():
        with Image.open(Path(skimage.__file__).parent / "data" / name) as picture:
            picture.convert("RGB").save(folder / name)
        rows.append({"file_name": name, "question": question})
    content = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(content, encoding="utf-8")
    return folder


def _rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=draw.__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--samples", type=int, nargs="+", default=[5, 12, 33])
    parser.add_argument("--tile", type=int, default=150, help="pixels of a picture")
    parser.add_argument("--keep", default="none", help="as the program's own flag")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = {"keep": (args.keep,)}
        scenes = lines_of(Path(temporary), args.samples, dataset="demo", **keep)
        photographs = write_photographs(Path(temporary) / "photographs")
        scenes += lines_of(
            Path(temporary), None, dataset="imagefolder", data_root=photographs, **keep
        )
        draw(scenes, args.tile).save(args.picture, quality=85)
