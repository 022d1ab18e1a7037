"""Files that people and scripts read: written whole, in ASCII or UTF-8."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from api_cli.runs.files import write_whole
from api_cli.runs.ledger import Row, to_line


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a JSON-lines file."""
    write_whole(path, b"".join(map(to_line, rows)))


def write_json(path: Path, content: object) -> None:
    """Write a JSON file whose lines a person can read."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    write_whole(path, f"{text}\n".encode("utf-8", "backslashreplace"))
