"""The ledger of samples that failed: `errors.jsonl`, present only if there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from api_cli.runs.files import write_whole
from api_cli.runs.ledger import Row, read_lines, to_line


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
        self._path = path
        self._lock = lock
        self._is_finished = is_finished
        self._lines: dict[str, bytes] = {}
        self._stale = 0  # lines that count no more
        self._seen: tuple[int, int] = (0, 0)  # inode, and bytes read
        self._torn = False  # whether the file ends within a line

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
                with self._path.open("ab") as file:
                    file.write(b"\n" * self._torn + b"".join(lines))
                self._torn = False
                self._note_end()
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
            if self._lines:
                write_whole(self._path, b"".join(self._lines.values()))
            else:
                self._path.unlink(missing_ok=True)
            self._stale, self._torn = 0, False
            self._note_end()

    def _catch_up(self) -> None:
        """Take in what the file holds that this object has not written; the lock is held."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._lines.clear()
            self._stale, self._torn, self._seen = 0, False, (0, 0)
            return
        inode, end = self._seen
        if (status.st_ino, status.st_size) == self._seen:
            return
        if status.st_ino != inode or status.st_size < end:
            self._lines.clear()
            self._stale = end = 0
        for content, row in read_lines(self._path, end):
            self._torn = content[-1:] != b"\n"
            if row is None or self._torn:
                self._stale += 1  # the line is to be written anew, or not at all
            if row is not None:
                self._note(row["key"], content.rstrip(b"\n") + b"\n")
        self._note_end()

    def _note(self, key: str, line: bytes) -> None:
        # the last failure stands last
        self._stale += self._lines.pop(key, None) is not None
        self._lines[key] = line

    def _note_end(self) -> None:
        try:
            status = self._path.stat()
            self._seen = (status.st_ino, status.st_size)
        except FileNotFoundError:
            self._seen = (0, 0)
