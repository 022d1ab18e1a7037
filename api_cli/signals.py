"""SIGINT, SIGTERM and SIGHUP: the first asks a command to come to an end, a second ends it at once.

All three arrive as KeyboardInterrupt with the signal's number, except where something is in flight
that is to be finished first: `deferred`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
_THE_SAME = 1.0  # seconds in which a launcher passes on what the terminal has sent already
_SAID = b"finishing what is in flight; a second signal ends at once\n"


class Arrived:
    """A handler that notes the first signal and ends the process at a second one.

    Attributes:
        signal: the number of the one that has arrived, or None.
    """

    def __init__(self, first: int | None = None) -> None:
        self.signal = first
        self._at = time.monotonic()

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take in a signal."""
        if self.signal is None:
            self.signal, self._at = number, time.monotonic()
            with suppress(OSError):
                os.write(2, _SAID)  # safe in a handler, as a console is not
        elif time.monotonic() - self._at > _THE_SAME:
            os._exit(128 + number)


def raise_on_signals() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, unless its parent has them ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _raise)


@contextmanager
def deferred() -> Iterator[Arrived]:
    """Let a signal that would raise KeyboardInterrupt be noted only; the body looks for it.

    Where one has arrived, a second one ends the process also after the body.
    """
    arrived = Arrived()
    if threading.current_thread() is not threading.main_thread():
        yield arrived
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in before.items() if callable(handler)}
    for number in before:
        signal.signal(number, arrived)
    try:
        yield arrived
    finally:
        if arrived.signal is None:
            for number, handler in before.items():
                signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    for other in _SIGNALS:
        if signal.getsignal(other) is _raise:
            signal.signal(other, Arrived(number))
    raise KeyboardInterrupt(number)
