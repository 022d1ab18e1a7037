"""Living runs: a run folder says whether one is at work in it, also after a kill.

A run holds a shared lock on a file of the folder for as long as it lives; whoever has that lock
alone knows that there is no other.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

from api_cli.errors import RunFolderError

_FILE = ".running"


class Presence:
    """A run's presence in a folder.

    Args:
        folder: to which this process may write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._close = weakref.finalize(self, os.close, self._file)

    def require_alone(self, purpose: str) -> None:
        """Make sure that no other run is at work in the folder, until `share` or `close`.

        Args:
            purpose: what that is needed for, for the message.

        Raises:
            RunFolderError: where another one is.
        """
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(
                f"another run is at work in {self._folder}, so {purpose}; wait for its end or "
                "stop it, or use another --output-folder"
            ) from error
        except OSError:  # a file system without such locks
            return

    def share(self) -> None:
        """Be at work in the folder, beside others."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH)
        except OSError:  # a file system without such locks
            return

    def require_same_folder(self) -> None:
        """Raise RunFolderError where the folder was deleted under this run, or begun anew."""
        if os.fstat(self._file).st_nlink == 0:
            raise RunFolderError(
                f"{self._folder} was deleted, or begun anew by another run, while this one was at "
                "work in it; start this one again"
            )

    def close(self) -> None:
        """Be there no more."""
        self._close()


def require_no_run(folder: Path, purpose: str) -> None:
    """Raise RunFolderError where a run is at work in a folder, if there is one."""
    if os.access(folder / _FILE, os.W_OK):
        presence = Presence(folder)
        try:
            presence.require_alone(purpose)
        finally:
            presence.close()
