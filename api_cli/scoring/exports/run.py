"""What an export of pictures needs of a run folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from api_cli.errors import RunFolderError
from api_cli.runs.ledger import Row, read_rows
from api_cli.runs.record import RECORD
from api_cli.runs.run_folder import MANIFEST

# columns that say how a picture was made, and nothing of the sample
OURS = ("flat", "image_sha256", "query", "auxiliary_answer", "auxiliary_tokens", "highlighted")


class Run(NamedTuple):
    """A run folder.

    Attributes:
        folder: its path.
        settings: all that determines its pictures.
        rows: of its manifest.
    """

    folder: Path
    settings: Mapping[str, Any]
    rows: Sequence[Row]

    @property
    def dataset(self) -> str:
        """The name of its dataset."""
        return str(self.settings.get("dataset"))

    def picture(self, row: Row) -> Path:
        """A row's masked picture."""
        return self.folder / str(row["file_name"])


def read_run(folder: Path) -> Run:
    """A run folder's record and manifest. Raises RunFolderError where there is nothing in it."""
    try:
        settings = yaml.safe_load((folder / RECORD).read_text(encoding="utf-8"))["settings"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise RunFolderError(f"{folder} holds no record of a run ({RECORD})") from error
    rows = list(read_rows(folder / MANIFEST))
    if not rows:
        raise RunFolderError(f"{folder} holds no pictures: its {MANIFEST} is missing or empty")
    return Run(folder, dict(settings), rows)


def facts(row: Row) -> dict[str, Any]:
    """A row as the dataset's own rows are: without what is this program's."""
    return {
        name.removeprefix("dataset_"): value
        for name, value in row.items()
        if name not in (*OURS, "file_name", "key", "index") and not name.endswith("_file_name")
    }


def link_pictures(run: Run, folder: Path) -> Iterator[str]:
    """Put every row's picture into a folder, linked where the disk allows it; give their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in run.rows:
        source, target = run.picture(row), folder / str(row["file_name"])
        target.unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copyfile(source, target)
        yield target.name
