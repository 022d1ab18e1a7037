"""Writes the page: page.html with its style, its script and the data in it, and thumbnails."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from PIL import Image

from api_cli.errors import UsageError
from api_cli.pages.show.content import Picture
from api_cli.runs.files import remove_leftovers, write_whole
from api_cli.runs.pictures import encode

PAGE = "index.html"
THUMBNAILS = "thumbnails"
_QUALITY = 82
_MARK = b'<meta name="generator" content="apiprompt show">'
_HERE = Path(__file__).parent
_THUMBNAIL = re.compile(r"[0-9a-f]{24}\.jpg")


class Inline:
    """Thumbnails that stand in the page itself."""

    def keep(self, image: Image.Image) -> Picture:
        """A thumbnail as a `data:` URL."""
        content = base64.b64encode(encode(image, "jpg", _QUALITY)).decode()
        return Picture(f"data:image/jpeg;base64,{content}", *image.size)

    def close(self) -> None:
        """Nothing is left to do."""


class Beside:
    """Thumbnails in a folder beside the page, under names made of their content.

    Args:
        folder: of the page.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / THUMBNAILS
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self._folder)
        self._kept: set[str] = set()
        self._lock = Lock()

    def keep(self, image: Image.Image) -> Picture:
        """Write a thumbnail, if it is not there; called on several threads at once."""
        content = encode(image, "jpg", _QUALITY)
        name = f"{sha256(content).hexdigest()[:24]}.jpg"
        with self._lock:
            is_new = name not in self._kept
            self._kept.add(name)
        if is_new and not (self._folder / name).exists():
            write_whole(self._folder / name, content)
        return Picture(f"{THUMBNAILS}/{name}", *image.size)

    def close(self) -> None:
        """Delete the thumbnails of an earlier page that this one does not show."""
        for path in self._folder.iterdir():
            if path.name not in self._kept and _THUMBNAIL.fullmatch(path.name):
                path.unlink()


def claim(folder: Path) -> None:
    """Make a folder for a page. Raises UsageError where it holds other things than one."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder}: is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    there = {path.name for path in folder.iterdir()} - {THUMBNAILS}
    if there and not _is_page(folder / PAGE):
        raise UsageError(f"--output {folder}: holds other things than a page; name a new folder")


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK in file.read(2000)


def write_page(folder: Path, title: str, content: Mapping[str, Any]) -> Path:
    """Write the page; thumbnails are there already.

    Args:
        folder: for it.
        title: of the browser's window.
        content: what page.js shows.

    Returns:
        Its path.
    """
    style, script = _read("page.css"), _read("page.js")
    page = _fill(
        _read("page.html"),
        title=html.escape(title),
        style=style,
        script=script,
        policy="; ".join(
            (
                "default-src 'none'",
                "img-src 'self' file: data:",  # 'self' is no file of the disk's in every browser
                f"style-src '{_digest(style)}'",
                f"script-src '{_digest(script)}'",
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        data=as_script(content),
    )
    path = folder / PAGE
    write_whole(path, page.encode())
    return path


def as_script(content: Mapping[str, Any]) -> str:
    """JSON that ends no element of HTML, whatever stands in it, in ASCII."""
    text = json.dumps(content, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _fill(template: str, **values: str) -> str:
    """A template with values for `{{name}}`; none within a value is filled in."""
    fill: Callable[[re.Match[str]], str] = lambda match: values[match[1]]  # noqa: E731
    return re.sub(r"\{\{(\w+)\}\}", fill, template)


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """As a Content-Security-Policy names the content of an element."""
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
