"""inspect_ai: JSON lines for `json_dataset`, pictures by their paths, then the question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api_cli.runs.ledger import Row
from api_cli.scoring.exports.run import Run, facts
from api_cli.scoring.files import write_rows
from api_cli.scoring.metrics import UnscorableError
from api_cli.scoring.metrics.verdict import right_answers


def inspect(run: Run, folder: Path) -> list[Path]:
    """`samples.jsonl`, a sample a line."""
    path = folder / "samples.jsonl"
    write_rows(path, (_sample(run, row) for row in run.rows))
    return [path]


def _sample(run: Run, row: Row) -> dict[str, Any]:
    text = f"{row['question']}{row.get('prompt') or ''}"
    paths = run.pictures(row).values()
    pictures = [{"type": "image", "image": str(path.resolve())} for path in paths]
    content = [*pictures, {"type": "text", "text": text}]
    return {
        "id": row["key"],
        "input": [{"role": "user", "content": content}],
        "target": _target(row),
        "metadata": facts(row),
    }


def _target(row: Row) -> str | list[str]:
    try:
        right = list(dict.fromkeys(right_answers(row)))
    except UnscorableError:
        return str(row.get("label") or "")
    return right[0] if len(right) == 1 else right
