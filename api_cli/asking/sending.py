"""Pictures on their way out: as they stand in a run folder, or encoded as a run encodes its own."""

from __future__ import annotations

from hashlib import sha256
from pathlib import PurePath
from typing import Any, NamedTuple

from PIL import Image

from api_cli.asking.exchange import Picture
from api_cli.asking.question import Source
from api_cli.runs.endings import FORMATS, SOURCE, source_ending, usual_ending
from api_cli.runs.pictures import decode, encode, head_of

QUALITY = 95  # of jpg and webp, as a run has it where nobody says otherwise


class Encoding(NamedTuple):
    """How pictures are written; all of it is theirs who ask, or a run's.

    Attributes:
        format: a key of `FORMATS`, or "source" for the format of each picture's own file.
        quality: of jpg and webp, 1 to 100; None for png.
    """

    format: str = "jpg"
    quality: int | None = QUALITY

    @classmethod
    def of(cls, image_format: str, quality: int | None = QUALITY) -> Encoding:
        """That of a format, whose quality may not count."""
        return cls(image_format, None if image_format == "png" else quality)

    @classmethod
    def of_run(cls, settings: dict[str, Any]) -> Encoding:
        """That of a run, from the settings in its run.yaml."""
        image_format = str(settings.get("format"))
        known = image_format in (*FORMATS, SOURCE)
        return cls.of(image_format, settings.get("quality", QUALITY)) if known else cls()


def send(source: Source, encoding: Encoding | None, max_side: int | None) -> Picture:
    """The picture as it is sent.

    Args:
        source: its file.
        encoding: how it is written; None leaves its bytes as they are, but for `max_side`.
        max_side: pixels of the longer side at most, made smaller where it has more.

    Raises:
        OSError, ValueError: where it cannot be read.
    """
    content = source.read()
    if encoding is None and max_side is None:
        return Picture.of(source.file_name, content)
    image = decode(content)
    if encoding is None:
        assert max_side is not None
        if max(image.size) <= max_side:
            return Picture.of(source.file_name, content)
        ending = usual_ending(head_of(content).kind)
        encoding = Encoding.of(ending if ending in FORMATS else "png")
    if max_side is not None and max(image.size) > max_side:
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    ending = encoding.format
    if ending == SOURCE:
        ending = source_ending(source.file_name, head_of(content).kind)
    name = f"{PurePath(source.file_name).stem}.{ending}"
    encoded = encode(image, ending, encoding.quality or QUALITY)
    return Picture.of(name, encoded, sha256(content).hexdigest())
