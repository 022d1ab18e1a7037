"""Locks on files, among processes, machines and threads: who waits long says for whom."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from api_cli.console import Console

_PATIENCE = 4.0  # seconds of waiting before it is said for whom
_LONGEST_NAP = 0.05
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


def try_lock(descriptor: int) -> bool:
    """Whether an open file could be locked, without waiting; the lock goes when it is closed.

    Raises:
        OSError: where the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def has_no_locks(error: OSError) -> bool:
    """Whether an error of `try_lock` says that the file system has none."""
    return error.errno in _NO_LOCKS


class Lock:
    """Held by one thread of one process at a time, again by a thread that holds it already.

    Who holds it stands in the file meanwhile. On a read-only disk, where nobody writes, and on a
    file system without locks nothing is held.

    Args:
        path: of the lock's file; made if need be, and never deleted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = threading.RLock()
        self._depth = 0
        self._descriptor: int | None = None

    def __enter__(self) -> Lock:
        self._threads.acquire()
        try:
            if self._depth == 0:
                self._descriptor = self._take()
        except BaseException:
            self._threads.release()
            raise
        self._depth += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with suppress(OSError):
                os.ftruncate(descriptor, 0)  # nobody's now, so that equal folders are equal
            os.close(descriptor)
        self._threads.release()

    def _take(self) -> int | None:
        descriptor = self._open()
        if descriptor is None:
            return None
        try:
            if not try_lock(descriptor):
                self._wait(descriptor)
            _sign(descriptor)
        except OSError as error:
            os.close(descriptor)
            if has_no_locks(error):
                return None
            raise
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _open(self) -> int | None:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
        try:  # another user's, or on a disk that is read-only for this process alone
            return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None

    def _wait(self, descriptor: int) -> None:
        start, nap, said = time.monotonic(), 0.001, False
        while not try_lock(descriptor):
            time.sleep(nap)
            nap = min(1.5 * nap, _LONGEST_NAP)
            if not said and time.monotonic() - start > _PATIENCE:
                said = True
                Console().warn(
                    f"waiting for {self._path}, which {_holder(descriptor)} holds; end that "
                    "process if it hangs"
                )


def _sign(descriptor: int) -> None:
    """Leave this process's name in the lock's file, for those who wait."""
    name = f"process {os.getpid()} on {socket.gethostname()}"
    with suppress(OSError):  # read-only, or a full disk
        os.pwrite(descriptor, f"{name:<79}\n".encode(), 0)


def _holder(descriptor: int) -> str:
    name = os.pread(descriptor, 79, 0).decode(errors="replace").strip()
    return name if name.startswith("process ") else "another process"
