"""Circles, a set under a name; and squares, a function that is called as a dataset."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw

from datasets_manager import DatasetOptions, Note, Sample, loader
from datasets_manager.registry import register

COLOURS = ("red", "green", "blue")


@register(
    "shapes",
    about="3 drawn shapes with questions",
    home="https://example.org/apiprompt-shapes",
    licence="MIT",
    aliases=("circles",),
    takes=("question",),
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """A circle of each colour; `options.question` is asked instead of its own question."""
    for index, colour in enumerate(COLOURS):
        yield Sample(
            key=colour,
            index=index,
            image=partial(draw, colour),
            question=options.question or f"Where is the {colour} circle?",
            extra={"answer": "left"},
        )


@loader
def squares(root: Path, options: DatasetOptions) -> Iterator[Sample | Note]:
    """A square of each colour that `root / "colours.txt"` names; no set, but a function to call.

    A line that names no colour is one sample's fault, and what is left out is said.
    """
    lines = (root / "colours.txt").read_text(encoding="utf-8").splitlines()
    for index, name in enumerate(filter(None, lines)):
        yield Sample(
            key=name,
            index=index,
            image=partial(draw, name, square=True),
            question=options.question or f"Where is the {name} square?",
            fault=None if name in COLOURS else f"colours.txt: {name!r} is no colour",
        )
    if "" in lines:
        yield Note(f"left out: {lines.count('')} empty lines of colours.txt")


def draw(colour: str, *, square: bool = False) -> bytes:
    """The picture as a PNG file's content."""
    image = Image.new("RGB", (160, 120), "white")
    pen = ImageDraw.Draw(image)
    (pen.rectangle if square else pen.ellipse)((10, 30, 70, 90), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
