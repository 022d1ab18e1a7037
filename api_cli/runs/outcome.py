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
    """

    folders: list[Path]
    report: Report | None
