"""Pictures from and to files' content."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageOps

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}


def decode(content: bytes) -> Image.Image:
    """The picture of a file's content, as `to_rgb` gives it.

    Raises:
        OSError, ValueError: where the content is no picture, or a truncated or too large one.
    """
    return to_rgb(Image.open(io.BytesIO(content)))


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture as a person sees it, in RGB: EXIF orientation applied, 16 bits brought to 8."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # Pillow's own conversion clips 16-bit grey to white
        image = image.point(lambda level: level / 256).convert("L")
    return image.convert("RGB")


def encode(image: Image.Image, image_format: str, quality: int) -> bytes:
    """A picture's file in a format of `FORMATS`; quality, 1 to 100, is of jpg and webp."""
    buffer = io.BytesIO()
    options: dict[str, Any] = (
        {"compress_level": 1} if image_format == "png" else {"quality": quality}
    )
    image.save(buffer, FORMATS[image_format], **options)
    return buffer.getvalue()
