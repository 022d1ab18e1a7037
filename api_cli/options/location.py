"""Where a run's output goes: a folder of this machine, or a URL that fsspec knows."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias


class Url(str):
    """A folder on a file system that fsspec knows, such as `s3://bucket/runs`."""

    def __truediv__(self, name: str) -> Url:
        return Url(f"{self.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of it."""
        return self.rstrip("/").rpartition("/")[2]


Location: TypeAlias = Path | Url


def parse_location(text: str) -> Location:
    """A path, the home folder spelt out, or a URL; `file://` is a path."""
    scheme, mark, rest = text.partition("://")
    if mark and scheme != "file":
        return Url(text.rstrip("/"))
    return Path(rest if mark else text).expanduser()
