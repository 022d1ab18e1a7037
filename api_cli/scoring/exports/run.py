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
from api_cli.runs.run_folder import MANIFEST, picture_files

# columns that say how a picture was made, and nothing of the sample
OURS = (
    "flat",
    "image_sha256",
    "query",
    "auxiliary_answer",
    "auxiliary_tokens",
    "highlighted",
    "mask_of",
    "crop_box",
)


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
        """A row's masked picture, the first where there are several."""
        return self.folder / str(row["file_name"])

    def pictures(self, row: Row) -> dict[str, Path]:
        """All of a row's pictures by column, in the order in which a model is shown them."""
        return {column: self.folder / name for column, name in picture_files(row).items()}


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


def link_pictures(run: Run, folder: Path) -> Iterator[dict[str, str]]:
    """Put every row's pictures into a folder, linked where the disk allows it.

    Yields:
        Their names by column, `file_name` first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for row in run.rows:
        pictures = run.pictures(row)
        for source in pictures.values():
            target = folder / source.name
            target.unlink(missing_ok=True)
            try:
                os.link(source, target)
            except OSError:  # another disk
                shutil.copyfile(source, target)
        yield {column: source.name for column, source in pictures.items()}
