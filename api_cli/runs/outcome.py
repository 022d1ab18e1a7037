"""What a command that masks has to say at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from api_cli.runs.jobs import Report


class Outcome(NamedTuple):
    """What a command did.

    Attributes:
        folders: run folders, in the order of the settings: paths, or of shards `Url`s; or the files
            that were written of pictures named on the command line.
        report: what was done; None where there was nothing to do, or it was a dry run.
    """

    folders: Sequence[Any]
    report: Report | None
