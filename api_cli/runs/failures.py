"""The ledger of samples that failed: `errors.jsonl`, present only if there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from api_cli.runs.ledger import Row, SharedFile, to_line


class Failures:
    """A JSON-lines file of the last failure of each key that is not finished.

    Failures are appended. What counts no more, since the key failed again or is finished by now,
    is taken out once it is half of the file, and at the end: so mending all of them costs no more
    than writing them did.

    Args:
        path: the file; made by the first failure, deleted with the last.
        lock: guards the file among processes; may be held already.
        is_finished: whether a key is in the manifest.
    """

    def __init__(
        self, path: Path, lock: AbstractContextManager[Any], is_finished: Callable[[str], bool]
    ) -> None:
        self._file = SharedFile(path)
        self._lock = lock
        self._is_finished = is_finished
        self._lines: dict[str, bytes] = {}
        self._stale = 0  # lines that count no more

    def load(self, *, mend: bool = True) -> None:
        """Read the file, and take out of it what counts no more if it is to be mended."""
        with self._lock:
            self._catch_up()
            if mend:
                self.tidy()

    def update(self, failed: Iterable[Row], finished: Iterable[str]) -> None:
        """Enter failures, and take note of keys that are finished now."""
        with self._lock:
            self._catch_up()
            lines = []
            for row in failed:
                lines.append(to_line(row))
                self._note(row["key"], lines[-1])
            if lines:
                self._file.append(lines)
            self._stale += sum(key in self._lines for key in finished)
            if self._stale > len(self._lines) / 2:
                self.tidy()

    def tidy(self) -> None:
        """Leave in the file one line for each key that is not finished."""
        with self._lock:
            self._catch_up()
            finished = [key for key in self._lines if self._is_finished(key)]
            if not (finished or self._stale):
                return
            for key in finished:
                del self._lines[key]
            self._file.replace(self._lines.values())
            self._stale = 0

    def _catch_up(self) -> None:
        """Take in what the file holds that this object has not written; the lock is held."""
        if not self._file.has_news():
            return
        if self._file.end == 0:
            self._lines.clear()
            self._stale = 0
        for content, row in self._file.news():
            if row is None or content[-1:] != b"\n":
                self._stale += 1  # the line is to be written anew, or not at all
            if row is not None:
                self._note(row["key"], content.rstrip(b"\n") + b"\n")

    def _note(self, key: str, line: bytes) -> None:
        # the last failure stands last
        self._stale += self._lines.pop(key, None) is not None
        self._lines[key] = line
