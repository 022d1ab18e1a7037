"""Files that appear whole or not at all, and what killed processes leave of them."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it appears whole or not at all, also under its old name."""
    temporary = path.with_name(f".{socket.gethostname()}.{os.getpid()}.{id(content)}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def remove_leftovers(folder: Path) -> None:
    """Delete what killed processes of this machine left of `write_whole` in a folder."""
    for leftover in folder.glob(f".{socket.gethostname()}.*.tmp"):
        pid = leftover.name.split(".")[-3]
        if not (pid.isdigit() and _lives(int(pid))):
            leftover.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
