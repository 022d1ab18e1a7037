"""Circles and squares: a dataset that is drawn and not read."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw

from datasets_manager.base import Sample
from datasets_manager.options import DatasetOptions
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


def draw(colour: str) -> bytes:
    """The picture as a PNG file's content."""
    image = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(image).ellipse((10, 30, 70, 90), fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
