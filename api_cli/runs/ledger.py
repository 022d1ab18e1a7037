"""JSON-lines files with one row a key, which survive kills and several writers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from api_cli.runs.files import write_whole
from api_cli.runs.locks import Lock

Row = Mapping[str, Any]
T = TypeVar("T")


class Ledger(Generic[T]):
    """An append-only JSON-lines file keyed by each row's `key`.

    Several processes may append to the same file: each append happens under `lock`, after a look
    at what the others have added, so that no key has two rows. What is remembered of a row is
    `remember(row)`, so that a million rows need not be held.

    Args:
        path: the file; made by the first append.
        lock: guards the file among processes, and among threads of one.
        remember: what to hold in memory of a row.
    """

    def __init__(self, path: Path, lock: Lock, remember: Callable[[Row], T]) -> None:
        self.path = path
        self._lock = lock
        self._remember = remember
        self._rows: dict[str, T] = {}
        self._seen: tuple[int, int] = (0, 0)  # inode, and bytes read of it

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def get(self, key: str) -> T | None:
        """What is remembered of a key's row, or None."""
        return self._rows.get(key)

    def load(self, keep: Callable[[Row], bool] = lambda row: True) -> None:
        """Read the file. Half-written lines, repeated keys and rows not to `keep` are dropped."""
        with self._lock:
            self._rows.clear()
            content = self._read_from(0)
            kept, dropped = [], content[-1:] not in (b"", b"\n")
            for row in self._parse(content):
                if row is None or row["key"] in self._rows or not keep(row):
                    dropped = True
                    continue
                self._rows[row["key"]] = self._remember(row)
                kept.append(row)
            if dropped:
                self._rewrite(kept)
            self._note_end()

    def rows(self) -> Iterator[Row]:
        """Every whole row that is in the file now."""
        return (row for row in self._parse(self._read_from(0)) if row is not None)

    def append(self, row: Row) -> None:
        """Add a row; where its key has one by now, the file stays as it is."""
        with self._lock:
            self._catch_up()
            if row["key"] in self._rows:
                return
            with self.path.open("ab") as file:
                file.write(_line(row))
            self._rows[row["key"]] = self._remember(row)
            self._note_end()

    def remove(self, key: str) -> None:
        """Take a key's row out; a file without rows is deleted."""
        with self._lock:
            self._catch_up()
            if key not in self._rows:
                return
            del self._rows[key]
            self._rewrite([row for row in self.rows() if row["key"] != key])
            self._note_end()

    def _catch_up(self) -> None:
        """Take in what other processes have written since the last look."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._rows.clear()
            self._seen = (0, 0)
            return
        inode, position = self._seen
        if (status.st_ino, status.st_size) == self._seen:
            return
        if status.st_ino != inode or status.st_size < position:
            self._rows.clear()
            position = 0
        for row in self._parse(self._read_from(position)):
            if row is not None:
                self._rows.setdefault(row["key"], self._remember(row))
        self._note_end()

    def _read_from(self, position: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(position)
                return file.read()
        except FileNotFoundError:
            return b""

    def _parse(self, content: bytes) -> Iterator[dict[str, Any] | None]:
        """Rows in order; None for a line that is not one, such as the last after a kill."""
        for line in content.split(b"\n"):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError:
                yield None
                continue
            yield row if isinstance(row, dict) and isinstance(row.get("key"), str) else None

    def _rewrite(self, rows: Sequence[Row]) -> None:
        if rows:
            write_whole(self.path, b"".join(map(_line, rows)))
        else:
            self.path.unlink(missing_ok=True)

    def _note_end(self) -> None:
        with suppress(FileNotFoundError):
            status = self.path.stat()
            self._seen = (status.st_ino, status.st_size)


def _line(row: Row) -> bytes:
    # in ASCII, since U+2028 and its like end lines for many readers
    return json.dumps(row).encode() + b"\n"
