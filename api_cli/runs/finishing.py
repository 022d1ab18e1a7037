"""The belt's last stage: a row for each sample that is finished, or one for what went wrong."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from concurrent.futures import Future

from api_cli.errors import ApipromptError
from api_cli.runs.blame import Look, Streak
from api_cli.runs.jobs import Found, Job, Loaded, Report, Written
from api_cli.runs.pictures import EncodeError
from api_cli.runs.rows import manifest_row
from api_cli.runs.sink import Sink

# a file's name that the disk will not have is the sample's fault; all else on writing is the run's
_BAD_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


class Finishing:
    """Enters samples into their sinks' ledgers, and counts.

    Args:
        progress: called with the report after each sample.

    Attributes:
        report: what the belt did so far.
    """

    def __init__(self, progress: Callable[[Report], None]) -> None:
        self._progress = progress
        self._sinks: dict[int, Sink] = {}
        self._streaks: list[Streak] = []
        self.report = Report()

    def streak(self, stage: str, look: Look) -> Streak:
        """A stage's failures in a row; see `blame`."""
        streak = Streak(stage, self.fail, look)
        self._streaks.append(streak)
        return streak

    def finish(self, loaded: Loaded, found: Found, future: Future[list[Written]]) -> None:
        """Enter a sample into the manifests, once its pictures are written.

        Raises:
            OSError, RunFolderError: where they could not be written.
        """
        start = time.perf_counter()
        error = future.exception()
        self.report.seconds_writing += time.perf_counter() - start
        if error is not None:
            # a folder that is gone, or a thread that was told to end, is the run's matter
            if isinstance(error, ApipromptError) or not isinstance(error, Exception):
                raise error
            if isinstance(error, OSError) and error.errno not in _BAD_NAME:
                raise error  # a full disk, a folder that is gone or may not be written
            self.fail(loaded.job, "encode" if isinstance(error, EncodeError) else "render", error)
            return
        for written in future.result():
            row = manifest_row(loaded, found.facts, written)
            self._note(written.sink).add(row, loaded.stamp)
            self.report.flat += written.flat
        self.report.cut += bool(found.facts.get("question_cut"))
        self.report.finished += 1
        self._progress(self.report)

    def fail(self, job: Job, stage: str, error: Exception) -> None:
        """Note in each of a job's settings that its sample failed, and where."""
        sample = job.sample
        row = {
            "key": sample.key,
            "index": sample.index,
            "stage": stage,
            "error": f"{type(error).__name__}: {error}",
        }
        for variant in job.variants:
            self._note(variant.sink).fail(row)
        self.report.failed += 1
        self._progress(self.report)

    def close(self) -> None:
        """Enter what is held back, and close every sink that was handed something."""
        for streak in self._streaks:
            streak.settle()
        for sink in self._sinks.values():
            sink.close()

    def _note(self, sink: Sink) -> Sink:
        return self._sinks.setdefault(id(sink), sink)
