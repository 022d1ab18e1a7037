"""A picture as a person sees it: right pixel by pixel, or an error that names the cause."""

from __future__ import annotations

import io
import struct
import threading

import numpy as np
import PIL
import pytest
from PIL import Image

from api_cli.runs.pictures import decode, encode, to_rgb
from api_cli.runs.pixel_budget import Picture, PixelBudget
from tests.picture_corpus import ALPHA, COLOURS, GREY, Kind, kinds, over_white, raw_png, rgb, save

KINDS = {kind.name: kind for kind in kinds()}


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_taken_as_a_person_sees_it(name):
    kind: Kind = KINDS[name]
    seen = decode(kind.content)
    assert (seen.mode, seen.info) == ("RGB", {})
    levels = np.asarray(seen).astype(int)
    assert levels.shape == kind.expected.shape
    assert np.abs(levels - kind.expected).max() <= kind.tolerance


def test_the_corpus_is_as_large_as_it_says():
    assert len(KINDS) >= 80


def test_pictures_of_every_mode_are_taken_from_the_library_and_stay_as_they_are():
    image = Image.fromarray(np.dstack([COLOURS, ALPHA]))
    for mode in ("RGBa", "RGBA"):
        seen = np.asarray(to_rgb(image.convert(mode))).astype(int)
        far = np.abs(seen - over_white(COLOURS, ALPHA))
        assert far.max() <= 2, "premultiplied levels are rounded once more"
    for mode in ("YCbCr", "HSV", "RGBX"):
        seen = np.asarray(to_rgb(Image.fromarray(COLOURS).convert(mode))).astype(int)
        assert np.abs(seen - COLOURS).max() <= (10 if mode == "HSV" else 4)
    grey = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])
    for mode in ("LA", "La"):
        seen = np.asarray(to_rgb(grey.convert(mode))).astype(int)
        assert np.abs(seen - over_white(rgb(GREY), ALPHA)).max() <= 2
    palette = Image.fromarray(GREY).convert("PA")
    palette.putalpha(Image.fromarray(ALPHA))
    assert np.abs(np.asarray(to_rgb(palette)).astype(int) - over_white(rgb(GREY), ALPHA)).max() <= 1


WHOLE = {
    "png": save(COLOURS, "PNG"),
    "jpeg": save(COLOURS, "JPEG"),
    "progressive jpeg": save(COLOURS, "JPEG", progressive=True),
    "webp": save(COLOURS, "WEBP"),
    "lossless webp": save(COLOURS, "WEBP", lossless=True),
    "gif": save(COLOURS, "GIF"),
    "bmp": save(COLOURS, "BMP"),
    "tiff": save(COLOURS, "TIFF"),
    "tiff lzw": save(COLOURS, "TIFF", compression="tiff_lzw"),
    "jpeg 2000": save(COLOURS, "JPEG2000"),
    "ppm": save(COLOURS, "PPM"),
    "tga": save(COLOURS, "TGA", compression="tga_rle"),
    "pcx": save(COLOURS, "PCX"),
    "sgi": save(COLOURS, "SGI"),
    "ico": save(COLOURS, "ICO"),
    "dds": save(COLOURS, "DDS"),
}


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "name",  # Pillow before 13 shows half a DDS as if it were whole
    [name for name in WHOLE if name != "dds" or int(PIL.__version__.split(".")[0]) >= 13],
)
def test_a_file_cut_anywhere_is_an_error_that_says_why(name):
    whole = WHOLE[name]
    decode(whole)
    for eighth in range(8):
        with pytest.raises((OSError, ValueError), match=r"\w{4}"):
            decode(whole[: len(whole) * eighth // 8])


@pytest.mark.parametrize(
    "content", [b"", b"<html>not found</html>", b"\x89PNG\r\n\x1a\n", b"II*\0"]
)
def test_what_is_no_picture_is_an_error(content):
    with pytest.raises(OSError, match=r"no picture of a format|truncated|damaged"):
        decode(content)


def test_a_bomb_is_an_error_before_it_is_unpacked():
    content = bytearray(raw_png(GREY[..., None], 0))
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    with pytest.raises((OSError, Image.DecompressionBombError)):
        decode(bytes(content))
    header = b"P6 60000 60000 255\n"
    with pytest.raises(Image.DecompressionBombError, match="exceeds limit"):
        decode(header)


def test_a_profile_is_not_kept_beside_colours_that_are_no_longer_its_own():
    seen = decode(KINDS["PNG, Display P3"].content)
    for image_format in ("png", "jpg", "webp"):
        with Image.open(io.BytesIO(encode(seen, image_format, 95))) as image:
            assert "icc_profile" not in image.info


@pytest.mark.parametrize("quality", [1, 95, 100])
def test_a_jpeg_is_what_pillow_writes(quality, photographs):
    image = decode(photographs["wide"].read_bytes())
    expected = io.BytesIO()
    image.save(expected, "JPEG", quality=quality)
    assert encode(image, "jpg", quality) == expected.getvalue()


def test_a_png_holds_every_level():
    for height, width in ((1, 1), (1, 7), (9, 1), (40, 33)):
        levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        content = encode(Image.fromarray(levels), "png", 95)
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
        assert (np.asarray(Image.open(io.BytesIO(content))) == levels).all()


@pytest.mark.parametrize(("image_format", "longest"), [("jpg", 65_500), ("webp", 16_383)])
def test_a_picture_too_long_for_its_format_is_told_the_way_out(image_format, longest):
    encode(Image.new("RGB", (longest, 1)), image_format, 50)
    with pytest.raises(ValueError, match=f"{longest + 1} x 1 pixels are too many .* --format png"):
        encode(Image.new("RGB", (longest + 1, 1)), image_format, 50)


def test_pictures_are_kept_as_long_as_there_is_room_and_decoded_again_where_there_is_none():
    budget = PixelBudget(room=2 * COLOURS[..., 0].size + 5)
    pictures = [Picture("", save(COLOURS, "PNG"), budget) for _ in range(3)]
    first = []
    for picture in pictures:
        with picture.opened() as image:
            first.append(id(image))
            assert (np.asarray(image) == COLOURS).all()
    kept = []
    for picture in pictures:
        with picture.opened() as image:
            kept.append(image)
            assert (np.asarray(image) == COLOURS).all()
    assert [id(image) for image in kept[:2]] == first[:2]
    del pictures, picture, kept, image
    fresh = [Picture("", save(COLOURS, "PNG"), budget) for _ in range(2)]
    for picture in fresh:
        with picture.opened() as one:
            pass
        with picture.opened() as two:
            assert one is two, "what nobody holds any more has made room"


def test_large_pictures_are_opened_one_at_a_time():
    budget = PixelBudget(large=100)
    content = save(COLOURS, "PNG")
    inside, most = 0, 0

    def look() -> None:
        nonlocal inside, most
        with Picture("", content, budget).opened():
            inside += 1
            most = max(most, inside)
            threading.Event().wait(0.01)
            inside -= 1

    threads = [threading.Thread(target=look) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
