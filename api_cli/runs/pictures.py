"""Pictures from and to files' content."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from api_cli.runs.endings import KINDS

_LONGEST = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}  # sides that the formats can hold
_WITH_QUALITY = ("JPEG", "WEBP")
_BY_RUNS = 3  # zlib's Z_RLE
_ORIENTATION = 0x0112  # EXIF's
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT = 262, 258, 339  # TIFF's tags
_MODE_OF_SPACE = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}  # as profiles say it

# Pillow reads these of little-endian files alone
TiffImagePlugin.OPEN_INFO.setdefault((TiffImagePlugin.MM, 1, (1,), 1, (32,), ()), ("I", "I;32B"))


def decode(content: bytes, least: int | None = None) -> Image.Image:
    """The picture of a file's content, its first frame, as `to_rgb` gives it.

    Args:
        content: of the file.
        least: for a picture that is to be shrunk: pixels of the shorter side that will do. A JPEG
            is decoded to a half, a quarter or an eighth where that leaves as many, which is
            cheaper.

    Raises:
        OSError, ValueError: where the content is no picture, or a truncated or too large one.
    """
    with _explained():
        image = Image.open(io.BytesIO(content))
        if least is not None:
            image.draft(None, (least, least))
        return to_rgb(image)


class Head(NamedTuple):
    """What a file says of its picture before that is decoded.

    Attributes:
        size: width and height, as they are stored.
        kind: Pillow's name of its format.
    """

    size: tuple[int, int]
    kind: str


def head_of(content: bytes) -> Head:
    """The head of a file's content. Raises what `decode` does."""
    with _explained():
        image = Image.open(io.BytesIO(content))
        return Head(image.size, image.format or "")


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what Pillow's readers trip over in a damaged file, each in its own way, into one."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise OSError("this is no picture of a format that Pillow can read") from error
    except (SyntaxError, IndexError, KeyError, TypeError, EOFError, struct.error) as error:
        raise OSError(f"the picture is damaged ({type(error).__name__}: {error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture as a person sees it, in RGB and without anything beside its pixels.

    EXIF's orientation is applied, and one that cannot be read ignored; colours are brought from
    the picture's profile to sRGB, unless it is damaged; what is transparent shows white. Levels of
    more than 8 bits are divided so that white is 255: 16 bits by 257; 32-bit integers and floats
    by what the smallest of the usual ranges that holds them all takes (1 for floats, 255, 65,535),
    and where none does they are stretched from their least to their greatest.

    Args:
        image: of any mode; it may be changed, and may be what is returned.
    """
    image.load()
    image = _upright(image)
    profile = image.info.get("icc_profile")
    image = _eight_bits(image)
    alpha = None
    if image.has_transparency_data:
        image, alpha = _split_alpha(image)
    image = _in_srgb(image, profile)
    if alpha is not None:
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=alpha)
        image = white
    image.info = {}  # else a PNG would get the profile of colours that it no longer has
    return image


class EncodeError(ValueError):
    """A picture that a format will not take; the message has the way out."""


def encode(image: Image.Image, image_format: str, quality: int) -> bytes:
    """A picture's file in a format of `KINDS`; quality, 1 to 100, is of jpg and webp.

    Raises:
        EncodeError: where the format will not take the picture.
    """
    kind = KINDS[image_format.lower()]
    longest = _LONGEST.get(kind)
    if longest is not None and max(image.size) > longest:
        width, height = image.size
        raise EncodeError(
            f"{width} x {height} pixels are too many for {image_format}, which takes {longest:,} a "
            "side; use --format png"
        )
    options: dict[str, Any] = {"quality": quality} if kind in _WITH_QUALITY else {}
    if kind == "PNG":  # by runs: smaller than by the usual strategy, and sooner done
        options = {"compress_level": 1, "compress_type": _BY_RUNS}
    with _open_in_memory() if kind == "JPEG" else io.BytesIO() as file:
        try:
            image.save(file, kind, **options)
        except (OSError, ValueError) as error:  # of Pillow's encoders, not of a disk
            raise EncodeError(
                f"the picture cannot be written as {image_format} ({error}); use another --format"
            ) from error
        file.seek(0)
        return file.read()


def _open_in_memory() -> BinaryIO:
    """A file in memory with a descriptor, where the system has such.

    Pillow's JPEG encoder lets other threads run while it writes to a descriptor, else not.
    """
    if not hasattr(os, "memfd_create"):
        return io.BytesIO()
    return os.fdopen(os.memfd_create("picture"), "w+b")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # EXIF that is none, of whatever kind, turns nothing
        return image
    turn = _UPRIGHT.get(orientation)  # type: ignore[arg-type]
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = image.info
    return turned


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits as L, or as LA where one level is transparent; others as is."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    levels = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT) == (1,):
        levels = levels.view(np.uint32)  # Pillow has signed ones alone
    black, white = _range(image, levels, tags)
    exact = np.float32 if image.mode.startswith("I;16") else np.float64
    scaled: Any = levels.astype(exact)
    scaled = (scaled - black) / (white - black)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero
        scaled = 1 - scaled
    scaled = np.nan_to_num(scaled, copy=False, nan=0).clip(0, 1)
    grey = Image.fromarray(np.rint(255 * scaled).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey = Image.merge("LA", (grey, Image.fromarray(np.uint8(255) * (levels != key))))
    return grey


def _range(image: Image.Image, levels: NDArray[Any], tags: Any) -> tuple[float, float]:
    """The levels that are black and white, the latter the larger."""
    if image.mode.startswith("I;16"):
        [bits] = tags.get(_BITS, (16,))[:1]
        return 0, 2**bits - 1
    if image.format == "PPM":  # scaled to 16 bits
        return 0, 65_535
    finite = levels[np.isfinite(levels)] if image.mode == "F" else levels
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    for white in (1, 255, 65_535) if image.mode == "F" else (255, 65_535):
        if low >= 0 and high <= white:
            return 0, white
    return low, high if high > low else low + 1


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The picture without its transparency, and its opacity (L), where not all is opaque."""
    key = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        # of a PNG of 16 bits, of which Pillow has the upper 8
        image.info["transparency"] = tuple(level >> 8 for level in key)
    grey = image.mode in ("L", "LA", "La")
    image = image.convert("LA" if grey else "RGBA")
    alpha = image.getchannel("A")
    opaque = alpha.getextrema() == (255, 255)
    return image.convert("L" if grey else "RGB"), None if opaque else alpha


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A picture without transparency, in RGB: by its profile, where it has one of its mode."""
    if image.mode not in ("RGB", "L", "CMYK", "LAB"):
        image = image.convert("RGB")
    transform = _to_srgb(profile, image.mode) if profile or image.mode == "LAB" else None
    if transform is not None:
        return ImageCms.applyTransform(image, transform) or image
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile (none: plain LAB) to sRGB; None where it changes nothing, or is damaged."""
    try:
        if mode == "LAB":  # which says itself what colours it means
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
        if _MODE_OF_SPACE.get(source.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (OSError, ImageCms.PyCMSError):
        return None
    if mode in ("RGB", "L"):
        sample = _sample(mode)
        before = np.asarray(sample.convert("RGB"), np.int16)
        after = np.asarray(ImageCms.applyTransform(sample, transform), np.int16)
        if np.abs(after - before).max() <= 1:
            return None  # it is sRGB itself
    return transform


def _sample(mode: str) -> Image.Image:
    """All 256 levels of L, or 17 x 17 x 17 colours of RGB."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 17).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    return Image.fromarray(colours.reshape(17, -1, 3))
