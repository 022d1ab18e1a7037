"""What is to be written in groups: collected, and handed on by number or after a while."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, RLock, Timer
from typing import Generic, TypeVar

T = TypeVar("T")


class Group(Generic[T]):
    """Collects items and hands them on together, in order; may be used from several threads.

    Args:
        write: takes a group. Where it raises, the items stay and are handed to it again, so it
            must stand being given the same items twice.
        most: items that are held at most.
        seconds: that an item is held at most, also while nothing else happens.
    """

    def __init__(
        self, write: Callable[[list[T]], None], *, most: int = 1000, seconds: float = 0.4
    ) -> None:
        self._write = write
        self._most = most
        self._seconds = seconds
        self._items: list[T] = []
        self._timer: Timer | None = None
        self._failed = False  # on the timer's thread, where nobody hears of it
        self._adding = Lock()
        self._writing = RLock()

    def add(self, item: T) -> None:
        """Take an item. Raises what `write` raises, also for a group of before."""
        with self._adding:
            self._items.append(item)
            due = self._failed or len(self._items) >= self._most
            if not due and self._timer is None:
                self._timer = Timer(self._seconds, self._on_time)
                self._timer.daemon = True
                self._timer.start()
        if due:
            self.flush()

    def flush(self) -> None:
        """Hand on what there is, and return once it is written."""
        with self._writing:
            with self._adding:
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
                items = list(self._items)
            if items:
                self._write(items)
            self._failed = False
            with self._adding:
                del self._items[: len(items)]

    def _on_time(self) -> None:
        try:
            self.flush()
        except Exception:  # a full disk, say: raised again by the next item or flush
            self._failed = True
