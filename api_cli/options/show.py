"""What `apiprompt show` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_cli.options import parsers
from api_cli.options.config import DATA, OUTPUT, RUN, Config
from api_cli.options.option import option


@dataclass(frozen=True, kw_only=True)
class ShowConfig(Config):
    """Configuration of `apiprompt show`."""

    runs: tuple[Path, ...] = option(
        DATA,
        (),
        parsers.several(parsers.path),
        "RUN...",
        "Run folders, or folders that hold some, a column each. Answers about originals (PLAIN_*) "
        "are found beside them, or may be named.",
    )
    range: tuple[int, int] | None = option(
        DATA,
        None,
        parsers.sample_range,
        "START STOP",
        "Samples START (counted from 0) to STOP (not included) of the dataset.",
        "all that the runs have; of a contact sheet the first 12",
    )
    data_root: Path | None = option(
        DATA,
        None,
        parsers.path,
        "DIR",
        "Where the dataset's files are now.",
        "where they were when the run was made",
    )
    by: str = option(
        DATA,
        "category",
        parsers.text,
        "category|COLUMN",
        "What samples are filtered by: the metric's categories, or a column's values.",
    )
    output: Path | None = option(
        OUTPUT,
        None,
        parsers.path,
        "DIR",
        "Folder for the page, index.html, and its thumbnails.",
        "SHOW beside the first run's folder, in experiments as a rule",
    )
    single_file: bool = option(
        OUTPUT, False, parsers.switch, "", "Put the thumbnails into the page itself, for a mail."
    )
    contact_sheet: Path | None = option(
        OUTPUT,
        None,
        parsers.path,
        "FILE",
        "Make one picture (.png, .jpg or .webp) for a paper or a chat instead of a page.",
        "",
    )
    thumbnail_side: int = option(
        OUTPUT, 384, parsers.integer(32, 2048), "PIXELS", "Longer side of a thumbnail at most."
    )
    quiet: bool = option(RUN, False, parsers.switch, "", "Errors only.")

    def to_dict(self) -> dict[str, Any]:
        """Field names to values of YAML's own types."""
        return super().to_dict() | {"runs": [str(path) for path in self.runs] or None}
