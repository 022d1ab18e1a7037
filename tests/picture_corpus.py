"""Pictures of every kind that other people's files have, each with what a person sees in it.

What is expected is computed by NumPy from the levels that went in, never by Pillow's conversions.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

from tests import reference

H, W = 18, 26
_RNG = np.random.default_rng(0)
GREY = _RNG.integers(0, 256, (H, W), dtype=np.uint8)
COLOURS = _RNG.integers(0, 256, (H, W, 3), dtype=np.uint8)
SMOOTH = np.dstack([np.linspace(a, b, H * W).reshape(H, W) for a, b in ((0, 255), (255, 60))])
SMOOTH = np.dstack([SMOOTH, 128 + 0 * SMOOTH[..., 0]]).astype(np.uint8)
ALPHA = _RNG.choice(np.array([0, 1, 90, 128, 254, 255], np.uint8), (H, W))
DEEP = _RNG.integers(0, 65536, (H, W), dtype=np.uint16)


class Kind(NamedTuple):
    """A file, what it shows, (H, W, 3), and how many levels a lossy step may be off."""

    name: str
    content: bytes
    expected: np.ndarray
    tolerance: int = 0


def kinds() -> Iterator[Kind]:
    """All of them."""
    yield from _png()
    yield from _tiff()
    yield from _profiles()
    yield from _orientations()
    yield from _animations()
    yield from _other_formats()


def save(levels: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    image = levels if isinstance(levels, Image.Image) else Image.fromarray(levels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(levels: np.ndarray) -> np.ndarray:
    """Grey, (H, W) in 0 to 255, as a picture."""
    return np.repeat(np.rint(levels)[..., None], 3, axis=2).astype(np.uint8)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return np.rint(colours * share + 255 * (1 - share)).astype(np.uint8)


def _png() -> Iterator[Kind]:
    yield Kind("png grey", save(GREY, "PNG"), rgb(GREY))
    yield Kind("png colour", save(COLOURS, "PNG"), COLOURS)
    bits = GREY > 127
    yield Kind("png of 1 bit", save(Image.fromarray(bits), "PNG"), rgb(255 * bits))
    grey_alpha = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])
    yield Kind("png grey, alpha", save(grey_alpha, "PNG"), over_white(rgb(GREY), ALPHA), 1)
    rgba = np.dstack([COLOURS, ALPHA])
    yield Kind("png colour, alpha", save(rgba, "PNG"), over_white(COLOURS, ALPHA), 1)
    opaque = np.dstack([COLOURS, np.full((H, W), 255, np.uint8)])
    yield Kind("png colour, all opaque", save(opaque, "PNG"), COLOURS)
    indices, palette = GREY % 16, COLOURS.reshape(-1, 3)[:16]
    paletted = Image.fromarray(indices)
    paletted.putpalette(palette.tobytes())
    yield Kind("png palette", save(paletted, "PNG"), palette[indices])
    opacity = np.arange(16, dtype=np.uint8) * 17
    yield Kind(
        "png palette, alpha",
        save(paletted, "PNG", transparency=opacity.tobytes()),
        over_white(palette[indices], opacity[indices]), 1,
    )  # fmt: skip
    key = int(GREY[0, 0])
    seen = np.where(key == GREY, 255, GREY)
    yield Kind("png grey, one level clear", save(GREY, "PNG", transparency=key), rgb(seen))
    clear = np.where((COLOURS[0, 0] == COLOURS).all(-1, keepdims=True), 255, COLOURS)
    first = tuple(map(int, COLOURS[0, 0]))
    yield Kind("png one colour clear", save(COLOURS, "PNG", transparency=first), clear)
    yield Kind("png of 16 bits", save(DEEP, "PNG"), rgb(DEEP / 257))
    deep_key = struct.pack(">H", DEEP[0, 0])
    seen = np.where(DEEP[0, 0] == DEEP, 255, DEEP / 257)
    content = raw_png(DEEP[..., None], 0, (b"tRNS", deep_key))
    yield Kind("png of 16 bits, one level clear", content, rgb(seen))
    deep = _RNG.integers(0, 65536, (H, W, 3), dtype=np.uint16)
    yield Kind("png colour of 16 bits", raw_png(deep, 2), np.rint(deep / 257).astype(int), 1)
    seen = np.rint(deep / 257)
    seen[0, 0] = 255
    key_bytes = deep[0, 0].astype(">u2").tobytes()
    yield Kind("png colour of 16 bits, one clear", raw_png(deep, 2, (b"tRNS", key_bytes)), seen, 1)


def _tiff() -> Iterator[Kind]:
    for order in "<>":
        name = "little-endian" if order == "<" else "big-endian"
        yield Kind(f"tiff of 16 bits, {name}", raw_tiff(DEEP, order), rgb(DEEP / 257))
        wide = DEEP.astype(np.uint32) * 65_537  # up to 2 ** 32 - 1
        wide[0, :2] = 0, 2**32 - 1
        seen = rgb(wide / (2**32 - 1) * 255)
        yield Kind(f"tiff of 32 bits, {name}", raw_tiff(wide, order), seen)
        share = (GREY / 255).astype(np.float32)
        yield Kind(f"tiff of floats to 1, {name}", raw_tiff(share, order), rgb(GREY))
    yield Kind("tiff of 16 bits, white is 0", raw_tiff(DEEP, "<", white=0), rgb(255 - DEEP / 257))
    yield Kind("tiff of 8 bits, white is 0", raw_tiff(GREY, ">", white=0), rgb(255 - GREY))
    small = GREY.astype(np.int32)
    yield Kind("tiff of 32 bits to 255", save(small, "TIFF"), rgb(GREY))
    yield Kind("tiff of 32 bits to 65,535", save(DEEP.astype(np.int32), "TIFF"), rgb(DEEP / 257))
    yield Kind("tiff of floats to 255", save(GREY.astype(np.float32), "TIFF"), rgb(GREY))
    heights = GREY.astype(np.float32) * 30 - 2000
    heights[0, :2] = -2000, 255 * 30 - 2000
    seen = GREY.copy()
    seen[0, :2] = 0, 255
    yield Kind("tiff of other floats", save(heights, "TIFF"), rgb(seen))
    heights[1, 1], seen[1, 1] = np.nan, 0
    yield Kind("tiff of floats and no number", save(heights, "TIFF"), rgb(seen))
    cmyk = _RNG.integers(0, 256, (H, W, 4), dtype=np.uint8)
    seen = np.rint((255 - cmyk[..., :3].astype(float)) * (255 - cmyk[..., 3:]) / 255).astype(int)
    yield Kind("tiff cmyk", save(Image.frombytes("CMYK", (W, H), cmyk.tobytes()), "TIFF"), seen, 1)
    lab = np.dstack([_RNG.integers(100, 200, (H, W)), _RNG.integers(-15, 15, (H, W, 2))])
    image = Image.frombytes("LAB", (W, H), lab.astype(np.uint8).tobytes())
    yield Kind("tiff lab", save(image, "TIFF"), from_lab(lab), 3)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        content = save(COLOURS, "TIFF", compression=compression)
        yield Kind(f"tiff {compression}", content, COLOURS)


def _profiles() -> Iterator[Kind]:
    p3, adobe = profile_of(reference.DISPLAY_P3), profile_of(reference.ADOBE_RGB)
    seen = reference.to_srgb(COLOURS, reference.DISPLAY_P3, reference.srgb_light)
    for kind in ("PNG", "TIFF"):
        yield Kind(f"{kind}, Display P3", save(COLOURS, kind, icc_profile=p3), seen, 2)
    content = save(COLOURS, "WEBP", lossless=True, icc_profile=p3)
    yield Kind("WebP, Display P3", content, seen, 2)
    seen = reference.to_srgb(COLOURS, reference.ADOBE_RGB, reference.srgb_light)
    yield Kind("PNG, primaries of Adobe RGB", save(COLOURS, "PNG", icc_profile=adobe), seen, 2)
    rgba = np.dstack([COLOURS, ALPHA])
    content = save(rgba, "PNG", icc_profile=adobe)
    yield Kind("PNG, a profile and alpha", content, over_white(seen, ALPHA), 2)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Kind("PNG, sRGB's profile", save(COLOURS, "PNG", icc_profile=srgb), COLOURS)
    for name, broken in (("cut", p3[:200]), ("none", b"no profile"), ("empty", b"\0" * 128)):
        yield Kind(f"PNG, a profile that is {name}", save(COLOURS, "PNG", icc_profile=broken),
                   COLOURS)  # fmt: skip
    yield Kind("PNG grey, a profile of colours", save(GREY, "PNG", icc_profile=p3), rgb(GREY))


def _orientations() -> Iterator[Kind]:
    turned = {
        1: COLOURS, 2: COLOURS[:, ::-1], 3: COLOURS[::-1, ::-1], 4: COLOURS[::-1],
        5: COLOURS.swapaxes(0, 1), 6: np.rot90(COLOURS, -1),
        7: COLOURS[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(COLOURS), 99: COLOURS,
    }  # fmt: skip
    for orientation, seen in turned.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield Kind(f"png turned {orientation}", save(COLOURS, "PNG", exif=exif), seen)
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, options in (
        ("WEBP", {"lossless": True, "exif": exif.tobytes()}),
        ("TIFF", {"exif": exif}),
        ("TIFF", {"exif": exif, "compression": "tiff_lzw"}),
    ):
        yield Kind(f"{kind} turned 6 {options.get('compression', '')}",
                   save(COLOURS, kind, **options), turned[6])  # fmt: skip
    content = save(SMOOTH, "JPEG", quality=100, subsampling=0, exif=exif)
    yield Kind("jpeg turned 6", content, np.rot90(SMOOTH, -1), 3)
    for name, broken in (("no TIFF", b"Exif\0\0not a TIFF header"), ("cut", exif.tobytes()[:12])):
        content = save(SMOOTH, "JPEG", quality=100, subsampling=0, exif=broken)
        yield Kind(f"jpeg, exif {name}", content, SMOOTH, 3)
        content = save(COLOURS, "WEBP", lossless=True, exif=broken)
        yield Kind(f"webp, exif {name}", content, COLOURS)
        content = raw_png(COLOURS, 2, (b"eXIf", broken.removeprefix(b"Exif\0\0")))
        yield Kind(f"png, exif {name}", content, COLOURS)


def _animations() -> Iterator[Kind]:
    first = Image.fromarray(COLOURS).quantize(256)
    seen = np.asarray(first.getpalette(), np.uint8).reshape(-1, 3)[np.asarray(first)]
    others = [Image.fromarray(255 - COLOURS)]
    yield Kind("gif", save(first, "GIF"), seen)
    yield Kind("gif in motion", save(first, "GIF", save_all=True, append_images=others), seen)
    key = int(np.asarray(first)[0, 0])
    clear = np.where((np.asarray(first) == key)[..., None], 255, seen)
    yield Kind("gif, one colour clear", save(first, "GIF", transparency=key), clear)
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        content = save(COLOURS, kind, save_all=True, append_images=others, **options)
        yield Kind(f"{kind} of two frames", content, COLOURS)


def _other_formats() -> Iterator[Kind]:
    for kind in ("BMP", "PPM", "TGA", "PCX", "SGI", "DDS"):
        yield Kind(kind, save(COLOURS, kind), COLOURS)
    yield Kind("ICO", save(COLOURS, "ICO", sizes=[(W, H)]), COLOURS)
    yield Kind("jpeg 2000", save(COLOURS, "JPEG2000", irreversible=False), COLOURS)
    yield Kind("jpeg 2000 of 16 bits", save(DEEP, "JPEG2000"), rgb(DEEP / 257))
    rgba = np.dstack([COLOURS, ALPHA])
    yield Kind("tga, alpha", save(rgba, "TGA"), over_white(COLOURS, ALPHA), 1)
    content = save(rgba, "WEBP", lossless=True, exact=True)
    yield Kind("webp, alpha", content, over_white(COLOURS, ALPHA), 1)
    grey = SMOOTH[..., 0]
    yield Kind("jpeg grey", save(grey, "JPEG", quality=100), rgb(grey), 2)
    for name, options in (("baseline", {}), ("progressive", {"progressive": True})):
        content = save(SMOOTH, "JPEG", quality=100, subsampling=0, **options)
        yield Kind(f"jpeg {name}", content, SMOOTH, 3)
    cmyk = np.dstack([SMOOTH, np.full((H, W), 40, np.uint8)])
    seen = np.rint((255 - SMOOTH.astype(float)) * (255 - 40) / 255).astype(int)
    content = save(
        Image.frombytes("CMYK", (W, H), cmyk.tobytes()), "JPEG", quality=100, subsampling=0
    )
    yield Kind("jpeg cmyk", content, seen, 4)
    header = f"P5 {W} {H} 65535\n".encode()
    dark = DEEP // 300
    yield Kind("pgm of 16 bits", header + DEEP.astype(">u2").tobytes(), rgb(DEEP / 257))
    yield Kind("pgm of 16 bits, dark", header + dark.astype(">u2").tobytes(), rgb(dark / 257))


def raw_png(levels: np.ndarray, colour_type: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of (H, W, C) uint8 or uint16 levels, with chunks before the pixels."""
    depth = 8 * levels.dtype.itemsize
    rows = levels.astype(f">u{levels.dtype.itemsize}").reshape(len(levels), -1)
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], depth, colour_type, 0, 0, 0)
    every = ((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in every
    )


def raw_tiff(levels: np.ndarray, order: str, white: int = 1) -> bytes:
    """An uncompressed grey TIFF; `white` is 0 where zero is white."""
    pixels = levels.astype(f"{order}{levels.dtype.str[1:]}").tobytes()
    kind = 3 if levels.dtype.kind == "f" else 1
    short, long = 3, 4
    tags = [
        (256, long, levels.shape[1]), (257, long, levels.shape[0]),
        (258, short, 8 * levels.dtype.itemsize), (259, short, 1), (262, short, white),
        (273, long, 8), (277, short, 1), (278, long, levels.shape[0]), (279, long, len(pixels)),
        (339, short, kind),
    ]  # fmt: skip
    directory = struct.pack(f"{order}H", len(tags))
    for tag, type_, value in tags:
        stored = struct.pack(f"{order}{'HH' if type_ == short else 'I'}",
                             *((value, 0) if type_ == short else (value,)))  # fmt: skip
        directory += struct.pack(f"{order}HHI", tag, type_, 1) + stored
    magic = b"II" if order == "<" else b"MM"
    return magic + struct.pack(f"{order}HI", 42, 8 + len(pixels)) + pixels + directory + bytes(4)


def profile_of(primaries: tuple) -> bytes:
    """A profile of these primaries and sRGB's curve."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    columns = dict(zip((b"rXYZ", b"gXYZ", b"bXYZ"), np.array(primaries).T, strict=True))
    [count] = struct.unpack(">I", profile[128:132])
    for i in range(count):
        tag, start, _ = struct.unpack(">4sII", profile[132 + 12 * i : 144 + 12 * i])
        if tag in columns:
            fixed = struct.pack(">iii", *(round(value * 65536) for value in columns[tag]))
            profile[start + 8 : start + 20] = fixed
    return bytes(profile)


def from_lab(lab: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D50; L of 0 to 255) in sRGB."""
    y = (lab[..., 0] * 100 / 255 + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * (0.9642, 1, 0.8249)
    light = xyz @ np.linalg.inv(np.array(reference.SRGB)).T
    return np.rint(255 * reference.srgb_curve(light.clip(0, 1))).astype(int)
