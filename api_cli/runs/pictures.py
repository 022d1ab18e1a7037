"""Pictures from and to files' content."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, ImageOps

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}
_LONGEST_SIDES = {"jpg": 65_500, "webp": 16_383}  # of libjpeg and libwebp


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


class EncodeError(ValueError):
    """A picture that a format will not take; the message has the way out."""


def encode(image: Image.Image, image_format: str, quality: int) -> bytes:
    """A picture's file in a format of `FORMATS`; quality, 1 to 100, is of jpg and webp.

    Raises:
        EncodeError: where the format will not take the picture.
    """
    longest = _LONGEST_SIDES.get(image_format)
    if longest is not None and max(image.size) > longest:
        width, height = image.size
        raise EncodeError(
            f"{width} x {height} pixels are too many for {image_format}, which takes {longest} a "
            "side; use --format png"
        )
    buffer = io.BytesIO()
    options: dict[str, Any] = (
        {"compress_level": 1} if image_format == "png" else {"quality": quality}
    )
    try:
        image.save(buffer, FORMATS[image_format], **options)
    except (OSError, ValueError) as error:  # of Pillow's encoders, not of a disk
        raise EncodeError(
            f"the picture cannot be written as {image_format} ({error}); use another --format"
        ) from error
    return buffer.getvalue()
