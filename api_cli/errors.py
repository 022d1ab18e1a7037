"""Errors that end a command with one clear line and an exit status."""

from __future__ import annotations

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


class Interrupted(ApipromptError):
    """Ctrl-C."""

    exit_status = 130

    def __init__(self) -> None:
        super().__init__("interrupted; what is finished stays, and the same command does the rest")


def first_line(error: Exception) -> str:
    """The first line of what another library says, or its error's name where it says nothing."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
