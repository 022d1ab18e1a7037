"""JSON lines, read while others write them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The rows of a file that have a key, each as it stands there and as it reads.

    A line that is being written, or was left half-written, is none; nor is there any in a file
    that is missing.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                row = json.loads(line)
                if (
                    line.endswith(b"\n")
                    and isinstance(row, dict)
                    and isinstance(row.get("key"), str)
                ):
                    yield line, row


def to_line(row: object) -> bytes:
    """A row as it is written: in ASCII, since U+2028 and its like end lines for many readers."""
    return json.dumps(row).encode() + b"\n"
