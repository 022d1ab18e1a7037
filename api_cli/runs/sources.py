"""What finished samples' pictures were read from, so that they need not be read again.

A mark stands for a picture's stamp, which is cheap to get (`datasets_manager.Sample.stamp`), and
its content. Marks are merely kept so as not to read: where they are missing or damaged, pictures
are read once more.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

from api_cli.runs.files import write_whole
from api_cli.runs.names import digest_text

_FILE = ".sources.json"  # key to mark


class Sources:
    """The marks of a run folder.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._marks = self._read()
        self._new: dict[str, str] = {}

    def knows(self, key: str, stamp: str | None, image: str) -> bool:
        """Whether a sample's picture is the one that was read, by its stamp.

        Args:
            key: the sample's.
            stamp: the picture's now; None where there is none.
            image: SHA-256 of the content that was read.
        """
        return stamp is not None and self._marks.get(key) == _mark(stamp, image)

    def note(self, key: str, stamp: str | None, image: str) -> None:
        """Note a picture's stamp, taken before its content was read."""
        if stamp is not None:
            self._marks[key] = self._new[key] = _mark(stamp, image)

    def save(self) -> None:
        """Write what is new beside what others have written; the folder's lock is held."""
        if self._new:
            marks = self._read() | self._new
            # sorted, so that equal folders are equal
            content = json.dumps(marks, separators=(",", ":"), sort_keys=True)
            write_whole(self._path, content.encode())
            self._new.clear()

    def _read(self) -> dict[str, str]:
        try:
            marks = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        return marks if isinstance(marks, dict) else {}


@lru_cache(maxsize=1024)  # samples about one picture follow each other
def _mark(stamp: str, image: str) -> str:
    return digest_text(f"{stamp}\n{image}")
