"""`python -m tests.docs.scenes FOLDER`: drawn scenes in place of a reader's photographs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from datasets_manager.demo import FOLDER
from tests.conftest import read_json_lines, write_json_lines

_SCENES = 12


def write_scenes(folder: Path) -> None:
    """An image folder with questions, answers, boxes and a category."""
    folder.mkdir()
    rows = read_json_lines(FOLDER / "metadata.jsonl")[:_SCENES]
    for number, row in enumerate(rows):
        name = f"{number:03d}{Path(row['file_name']).suffix}"
        shutil.copy(FOLDER / row["file_name"], folder / name)
        row |= {"file_name": name, "category": row["kind"]}
        row.pop("key", None)
    write_json_lines(folder / "metadata.jsonl", rows)


if __name__ == "__main__":
    write_scenes(Path(sys.argv[1]))
