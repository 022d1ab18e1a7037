"""Endings of pictures' files: those one can choose, and with `--format source` each source's own.

A picture keeps the ending of its source where Pillow writes such files whole, in RGB and at any
size, and `datasets` opens them; others become png.
"""

from __future__ import annotations

from datasets_manager.listing import is_picture

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
"""What `--format` may name, and Pillow's name of it."""

SOURCE = "source"

KINDS = FORMATS | {
    "jpeg": "JPEG",
    "jpe": "JPEG",
    "jfif": "JPEG",
    "bmp": "BMP",
    "gif": "GIF",
    "jp2": "JPEG2000",
    "ppm": "PPM",
    "tif": "TIFF",
    "tiff": "TIFF",
}
"""Endings in lower case that a source's picture keeps, and Pillow's name of the format."""

_USUAL = {kind: ending for ending, kind in reversed(KINDS.items())} | {"MPO": "jpg", "TIFF": "tif"}


def split_name(name: str) -> tuple[str, str]:
    """A picture's name without its ending, and the ending if it is one that is kept, else ""."""
    stem, _, ending = name.rpartition(".")
    if not stem or not is_picture(name):
        return name, ""
    return stem, ending if ending.lower() in KINDS else ""


def source_ending(name: str, kind: str) -> str:
    """The ending of what is made of a source.

    Args:
        name: the source's file's, or its sample's key.
        kind: Pillow's name of the format of its content.
    """
    return split_name(name)[1] or _USUAL.get(kind, "png")


def usual_ending(kind: str) -> str:
    """The ending of files of a format, by Pillow's name of it."""
    return _USUAL.get(kind, "png")
