"""JSON-lines files with one row a key, which survive kills and several writers."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from api_cli.runs.files import write_whole
from datasets_manager.rows import parse_line

Row = Mapping[str, Any]
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


def parse_lines(content: bytes) -> Iterator[dict[str, Any]]:
    """The whole rows of a file's content, in order."""
    rows = map(_parse, content.splitlines(keepends=True))
    return (row for row in rows if row is not None)


def to_line(row: Row) -> bytes:
    """A row as a line."""
    # in ASCII, since U+2028 and its like end lines for many readers
    return json.dumps(row).encode() + b"\n"


class SharedFile:
    """A file of lines that several processes append to or replace; its lock is held by the caller.

    Args:
        path: the file; made by the first append.

    Attributes:
        end: bytes that are known of it: read, or written by this object.
        torn: whether what is known of it ends within a line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.end = 0
        self.torn = False
        self._inode = 0

    def has_news(self) -> bool:
        """Whether it is not as it is known; `end` is 0 then if it is another file by now."""
        inode, size = self._status()
        if (inode, size) == (self._inode, self.end):
            return False
        if inode != self._inode or size < self.end:
            self.forget()
        return True

    def forget(self) -> None:
        """Know nothing of it."""
        self._inode, self.end, self.torn = 0, 0, False

    def news(self) -> Iterator[Line]:
        """The lines beyond `end`, known once they are given."""
        self._inode, _ = self._status()
        for line in read_lines(self.path, self.end):
            self.end += len(line.content)
            self.torn = line.content[-1:] != b"\n"
            yield line

    def append(self, lines: Sequence[bytes]) -> None:
        """Write lines at its end, all at once."""
        content = b"\n" * self.torn + b"".join(lines)
        with self.path.open("ab") as file:
            file.write(content)
        self._know()

    def replace(self, lines: Iterable[bytes]) -> None:
        """Put other lines in place of its own; without any there is no file."""
        if content := b"".join(lines):
            write_whole(self.path, content)
        else:
            self.path.unlink(missing_ok=True)
        self._know()

    def _know(self) -> None:
        self.torn = False
        self._inode, self.end = self._status()

    def _status(self) -> tuple[int, int]:
        """Inode and size; zeros where there is no file."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return status.st_ino, status.st_size


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
        self._file = SharedFile(path)
        self.position = 0
        self._lock = lock
        self._remember = remember
        self._rows: dict[str, T] = {}

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
            self._file.forget()
            self.position = 0
            dropped = set()
            for number, row in enumerate(self._read()):
                if row is None or row["key"] in self._rows or not keep(row):
                    dropped.add(number)
                else:
                    self._rows[row["key"]] = self._remember(row)
            if mend and (dropped or self._file.torn):
                self._file.replace(
                    line.content.rstrip(b"\n") + b"\n"
                    for number, line in enumerate(read_lines(self._file.path))
                    if number not in dropped
                )

    def rows(self) -> Iterator[Row]:
        """Every whole row that is in the file now."""
        return read_rows(self._file.path)

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
            end = self._file.end + self._file.torn
            self._file.append(lines)
            for (key, row), line in zip(new.items(), lines, strict=True):
                self.position, end = end, end + len(line)
                self._rows[key] = self._remember(row)

    def rewrite(self, lines: Collection[bytes]) -> None:
        """Put other lines for the same rows; nothing is written where they are the same."""
        with self._lock:
            if [line.content for line in read_lines(self._file.path)] != lines:
                self._file.replace(lines)

    def catch_up(self) -> None:
        """Take in what other processes have written since the last look; the lock is held."""
        if not self._file.has_news():
            return
        if self._file.end == 0:
            self._rows.clear()
        for row in self._read():
            if row is not None and row["key"] not in self._rows:
                self._rows[row["key"]] = self._remember(row)

    def _read(self) -> Iterator[dict[str, Any] | None]:
        """What each line says that is not known yet; `position` is where that one begins."""
        end = self._file.end
        for content, row in self._file.news():
            self.position, end = end, end + len(content)
            yield row


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        row = parse_line(content)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("key"), str) else None
