"""`apiprompt`, also as `python -m api_cli`: nothing is imported before Ctrl-C is looked after."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn


def main() -> None:
    """The console script."""
    raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if raises:
        signal.signal(signal.SIGINT, _end)
    from api_cli import cli  # most of a second

    if raises:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    cli.main()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End at once, since nothing has begun; an exception could be lost in others' imports."""
    with suppress(OSError):
        os.write(2, b"error: interrupted; nothing was begun\n")
    os._exit(128 + number)


if __name__ == "__main__":  # a process that this one spawns imports it as well
    main()
