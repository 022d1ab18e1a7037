"""JSON-lines files as they stand on the disk: their whole rows, one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from api_cli.runs.files import write_whole
from api_cli.runs.ledger import Row


def read_rows(path: Path) -> Iterator[Row]:
    """Rows with a key; none where there is no file. Half-written lines do not count."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError):
                row = json.loads(line)
                if line.endswith(b"\n") and isinstance(row, dict) and "key" in row:
                    yield row


def write_rows(path: Path, rows: Iterable[object]) -> None:
    """Write a JSON-lines file whole, in ASCII as the program's other files are."""
    write_whole(path, b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whole, for people to read as well."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    write_whole(path, f"{text}\n".encode("utf-8", "backslashreplace"))
