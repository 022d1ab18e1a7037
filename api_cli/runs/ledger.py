"""JSON-lines files with one row a key, which survive kills and several writers."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from api_cli.runs.files import write_whole

Row = Mapping[str, Any]
_decode = json.JSONDecoder().decode  # a third faster than `json.loads`, which looks at its options
T = TypeVar("T")


class Line(NamedTuple):
    """A line of a file.

    Attributes:
        content: its bytes, with the newline that ends it, where one does.
        row: what it says; None where that is no row with a key, such as the last after a kill.
    """

    content: bytes
    row: dict[str, Any] | None


def read_lines(path: Path, position: int = 0) -> Iterator[Line]:
    """The lines of a file from a byte on; none where there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        file.seek(position)
        for content in file:
            yield Line(content, _parse(content))


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The whole rows of a file, in order."""
    return (row for _, row in read_lines(path) if row is not None)


def to_line(row: Row) -> bytes:
    """A row as a line."""
    # in ASCII, since U+2028 and its like end lines for many readers
    return json.dumps(row).encode() + b"\n"


class Ledger(Generic[T]):
    """An append-only JSON-lines file keyed by each row's `key`.

    Several processes may append to the same file: each group of rows is appended under `lock`,
    after a look at what the others have added, so that no key has two rows. What is remembered of
    a row is `remember(row)`, so that a million rows need not be held.

    Args:
        path: the file; made by the first append.
        lock: guards the file among processes, and among threads of one; may be held already.
        remember: what to hold in memory of a row; called once with each that is found or added.

    Attributes:
        position: of the last row that was found or added, in bytes from the file's beginning.
    """

    def __init__(
        self, path: Path, lock: AbstractContextManager[Any], remember: Callable[[Row], T]
    ) -> None:
        self.path = path
        self.position = 0
        self._lock = lock
        self._remember = remember
        self._rows: dict[str, T] = {}
        self._seen: tuple[int, int] = (0, 0)  # inode, and bytes read of it
        self._torn = False  # whether the file ends within a line

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def get(self, key: str) -> T | None:
        """What is remembered of a key's row, or None."""
        return self._rows.get(key)

    def load(self, keep: Callable[[Row], bool] = lambda row: True, *, mend: bool = True) -> None:
        """Read the file.

        Args:
            keep: which rows count; the others, repeated keys and half-written lines do not.
            mend: whether to take out of the file what does not count.
        """
        with self._lock:
            self._rows.clear()
            self.position = end = 0
            dropped = set()
            content = b"\n"
            for number, (content, row) in enumerate(read_lines(self.path)):
                self.position, end = end, end + len(content)
                if row is None or row["key"] in self._rows or not keep(row):
                    dropped.add(number)
                else:
                    self._rows[row["key"]] = self._remember(row)
            self._torn = content[-1:] != b"\n"
            self._note_end()
            if mend and (dropped or self._torn):
                self._write(
                    line.content.rstrip(b"\n") + b"\n"
                    for number, line in enumerate(read_lines(self.path))
                    if number not in dropped
                )

    def rows(self) -> Iterator[Row]:
        """Every whole row that is in the file now."""
        return read_rows(self.path)

    def append(self, row: Row) -> None:
        """Add a row; where its key has one by now, the file stays as it is."""
        self.extend([row])

    def extend(self, rows: Iterable[Row]) -> None:
        """Add rows, all at once; those whose keys have one by now are left out."""
        with self._lock:
            self.catch_up()
            new: dict[str, Row] = {}
            for row in rows:
                if row["key"] not in self._rows:
                    new.setdefault(row["key"], row)
            if not new:
                return
            lines = [to_line(row) for row in new.values()]
            end = self._seen[1] + self._torn
            with self.path.open("ab") as file:
                file.write(b"\n" * self._torn + b"".join(lines))
            for (key, row), line in zip(new.items(), lines, strict=True):
                self.position, end = end, end + len(line)
                self._rows[key] = self._remember(row)
            self._torn = False
            self._note_end()

    def rewrite(self, lines: Collection[bytes]) -> None:
        """Put other lines for the same rows; nothing is written where they are the same."""
        with self._lock:
            if [line.content for line in read_lines(self.path)] != lines:
                self._write(lines)

    def catch_up(self) -> None:
        """Take in what other processes have written since the last look; the lock is held."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._rows.clear()
            self._seen, self._torn = (0, 0), False
            return
        inode, end = self._seen
        if (status.st_ino, status.st_size) == self._seen:
            return
        if status.st_ino != inode or status.st_size < end:
            self._rows.clear()
            end = 0
        for content, row in read_lines(self.path, end):
            self.position, end = end, end + len(content)
            self._torn = content[-1:] != b"\n"
            if row is not None and row["key"] not in self._rows:
                self._rows[row["key"]] = self._remember(row)
        self._note_end()

    def _write(self, lines: Iterable[bytes]) -> None:
        content = b"".join(lines)
        if content:
            write_whole(self.path, content)
        else:
            self.path.unlink(missing_ok=True)
        self._torn = False
        self._note_end()

    def _note_end(self) -> None:
        try:
            status = self.path.stat()
            self._seen = (status.st_ino, status.st_size)
        except FileNotFoundError:
            self._seen = (0, 0)


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        row = _decode(content.decode())
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("key"), str) else None
