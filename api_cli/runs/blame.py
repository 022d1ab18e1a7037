"""Whose fault failures in a row are: the samples', or the run's own.

A sample's fault costs a row. But a dataset that is gone half way, or a model that answers nobody,
would cost a row for every sample that is left. So failures at one stage are held back while they
follow each other, and at each `IN_A_ROW` of them it is looked whether the run could have done any
better: whether what they needed together is gone, or what has worked before works no more. If so
the run stops, and none of the held samples is entered. If not, as where thirty files of an old
dataset are missing, they are entered and the run goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from api_cli.errors import SourceGoneError
from api_cli.runs.jobs import Job
from datasets_manager import Sample

IN_A_ROW = 20


class Failure(NamedTuple):
    """A sample that failed, and why."""

    job: Job
    error: Exception


Look = Callable[[Sequence[Failure]], str | None]
"""Given failures in a row, says in a few words what is the run's own matter; None where the samples
are to blame."""


class Streak:
    """Failures in a row at one stage.

    Args:
        stage: for messages and rows.
        enter: enters a sample into the error ledgers.
        look: see `Look`.
    """

    def __init__(
        self, stage: str, enter: Callable[[Job, str, Exception], None], look: Look
    ) -> None:
        self._stage = stage
        self._enter = enter
        self._look = look
        self._held: list[Failure] = []

    def fail(self, job: Job, error: Exception) -> None:
        """Take in a failure. Raises SourceGoneError where it is the run's own matter."""
        self._held.append(Failure(job, error))
        if len(self._held) < IN_A_ROW:
            return
        matter = self._look(self._held)
        if matter is not None:
            self._held.clear()
            raise SourceGoneError(
                f"{matter}; stopped after {IN_A_ROW} samples in a row that failed at the stage "
                f"{self._stage}, which are not entered. What is finished stays, and the same "
                "command goes on"
            ) from error
        self.settle()

    def settle(self) -> None:
        """Enter what is held back: the next one worked, or there is none."""
        held, self._held = self._held, []
        for job, error in held:
            self._enter(job, self._stage, error)


def what_is_gone(failures: Sequence[Failure], read_before: Sample | None) -> str | None:
    """What pictures that could not be read needed together, and is no longer there.

    Args:
        failures: of samples that follow each other.
        read_before: a sample whose picture could be read, if there was one.
    """
    missing = {
        Path(os.fsdecode(error.filename)): job.sample
        for job, error in failures
        if isinstance(error, OSError) and error.filename is not None
    }
    if len(missing) == 1:  # a shard or an archive that all are in, if no picture itself
        [(file, sample)] = missing.items()
        if sample.image != file and not _is_there(file):
            return f"{file} is gone"
    if read_before is not None:
        try:
            read_before.read_image()
        except Exception as error:  # whatever a dataset's function raises
            return f"the dataset can no longer be read: {error}"
    elif missing and not any(_is_there(file.parent) for file in missing):
        return f"the folder of the pictures is gone: {os.path.commonpath(missing)}"
    return None


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # also where a mount no longer answers
        return False
    return True
