"""What a command that masks has to say at its end."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from api_cli.runs.jobs import Report


class Outcome(NamedTuple):
    """What a command did.

    Attributes:
        folders: run folders, in the order of the settings; or the files that were written of
            pictures named on the command line.
        report: what the belt did; None where there was nothing to do, or it was a dry run.
        failures: where it stands what went wrong, and what to do, to be said behind a number.
    """

    folders: list[Path]
    report: Report | None
    failures: str = (
        "samples failed; errors.jsonl in the run folder says why, and the same command tries them "
        "again"
    )
