"""Errors that end a command with one clear line and an exit status."""

from __future__ import annotations

import errno
import os
import signal
import traceback

SOME_FAILED = 3
"""Exit status of a command that finished, but some samples failed."""


class ApipromptError(Exception):
    """Something the user can mend; the message names the thing, the place and the way out."""

    exit_status = 1


class UsageError(ApipromptError):
    """A flag, an environment variable or a configuration that is wrong."""

    exit_status = 2


class ModelError(ApipromptError):
    """An auxiliary model that cannot be had, loaded or read."""


class RunFolderError(ApipromptError):
    """A run folder that must not be written into."""


class SourceGoneError(ApipromptError):
    """A dataset that is no longer there, or a model that answers nobody: the run's own matter."""


class Interrupted(ApipromptError):
    """Ctrl-C, or another signal that asks to come to an end."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        what = (
            "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        )
        super().__init__(f"{what}; what is finished stays, and the same command does the rest")
        self.exit_status = 128 + number


_FULL = (errno.ENOSPC, errno.EDQUOT)


def explain(error: BaseException) -> str:
    """One line for a user about what ended a command, foreseen or not."""
    if isinstance(error, ApipromptError):
        return str(error)
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        if error.errno in _FULL:
            return (
                f"{where}no space left on the disk; what is finished stays: make room, and the "
                "same command does the rest"
            )
        return f"{where}{error.strerror or first_line(error)}"
    if isinstance(error, MemoryError) or "can't start new thread" in str(error):
        return (
            "out of memory; try a smaller --batch-size and fewer --num-workers, and see what "
            "`ulimit -v` and `ulimit -u` allow"
        )
    if isinstance(error, ImportError):
        return f"a package could not be loaded: {first_line(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f", at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return (
        f"unexpected {type(error).__name__}: {first_line(error)}{where}; `python -X dev -m "
        "api_cli` with the same flags shows the way there"
    )


def first_line(error: BaseException) -> str:
    """The first line of what another library says, or its error's name where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
