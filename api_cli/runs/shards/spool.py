"""What a fragment's shard will hold, until the fragment is done: bounded memory, then the disk."""

from __future__ import annotations

import tempfile
from threading import Lock
from typing import NamedTuple
from weakref import finalize

_IN_MEMORY = 256 * 2**20  # bytes, of a fragment


class Span(NamedTuple):
    """Where content lies in a spool, in bytes."""

    offset: int
    size: int


class Spool:
    """Takes content from several threads, and gives it back; too much for memory is on disk.

    Args:
        in_memory: bytes that are held at most.
    """

    def __init__(self, in_memory: int = _IN_MEMORY) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115, see `close`
        self._closing = finalize(self, self._file.close)  # also of a run that is interrupted
        self._lock = Lock()
        self._end = 0

    def add(self, content: bytes) -> Span:
        """Keep content."""
        with self._lock:
            span = Span(self._end, len(content))
            self._file.seek(span.offset)
            self._file.write(content)
            self._end += span.size
        return span

    def read(self, span: Span) -> bytes:
        """What was kept."""
        with self._lock:
            self._file.seek(span.offset)
            return self._file.read(span.size)

    def close(self) -> None:
        """Let all of it go."""
        self._closing()
