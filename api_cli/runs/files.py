"""Files that appear whole or not at all, and what killed processes leave of them.

A file is written beside its place and locked meanwhile, so a leftover is one whose lock can be had:
whatever host, container or user its process was of. Where the file system has no locks, it is one
that has lain for `_AGE`. A writer whose file was taken for a leftover all the same writes it again.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from api_cli.runs.locks import has_no_locks, try_lock

_AGE = 24 * 3600.0  # seconds
_ATTEMPTS = 5
_HOST = socket.gethostname()
_TEMPORARY = re.compile(r"\..+\.\d+\.[0-9a-f]+\.tmp")  # .HOST.PID.TOKEN.tmp


Content = bytes | Callable[[BinaryIO], None]
"""A file's bytes, or what writes them; that may be called more than once."""


def write_whole(path: Path, content: Content) -> None:
    """Write a file so that it appears whole or not at all, also under its old name.

    Raises:
        OSError: naming the file, where it cannot be written; nothing of it is left then.
    """
    for _ in range(_ATTEMPTS):
        temporary = path.with_name(f".{_HOST}.{os.getpid()}.{secrets.token_hex(8)}.tmp")
        with naming(path), temporary.open("xb") as file:
            if not _hold(file.fileno()):
                continue  # it is being cleared as a leftover
            try:
                write_content(file, content)
                file.flush()
                temporary.replace(path)
            except FileNotFoundError:
                if path.parent.is_dir():
                    continue  # it was cleared as a leftover
                raise
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return
    raise OSError(f"{path} could not be written: its temporary file vanishes each time")


def write_content(file: BinaryIO, content: Content) -> None:
    """Write bytes, or let them be written."""
    if isinstance(content, bytes):
        file.write(content)
    else:
        content(file)


def remove_leftovers(folder: Path) -> set[str]:
    """Delete what dead processes, wherever they ran, left of `write_whole` in a folder.

    Returns:
        The names of all that was there.
    """
    try:
        there = names_in(folder)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    for name in filter(_TEMPORARY.fullmatch, there):
        with suppress(OSError):  # gone meanwhile, another user's, or on a read-only disk
            _remove_if_dead(folder / name)
    return there


def names_in(folder: Path) -> set[str]:
    """The names of what is in a folder."""
    with os.scandir(folder) as entries:
        return {entry.name for entry in entries}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let system errors within name this file or folder where they name none or a temporary one."""
    try:
        yield
    except OSError as error:
        named = error.filename is not None and not _TEMPORARY.fullmatch(Path(error.filename).name)
        if named or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _hold(descriptor: int) -> bool:
    try:
        return try_lock(descriptor)
    except OSError as error:
        if has_no_locks(error):
            return True
        raise


def _remove_if_dead(temporary: Path) -> None:
    with temporary.open("r+b") as file:
        try:
            dead = try_lock(file.fileno())
        except OSError as error:
            if not has_no_locks(error):
                raise
            dead = time.time() - os.fstat(file.fileno()).st_mtime > _AGE
        if dead:
            temporary.unlink()
