"""The belt's last stage: a row for each sample that is finished, or one for what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from api_cli.relevance import Relevance
from api_cli.runs.jobs import Job, Loaded, Report, Written
from api_cli.runs.sink import Sink

_MANIFEST_FIELDS = {
    *("file_name", "image", "key", "index", "question", "query", "image_sha256", "flat"),
    *("auxiliary_answer", "auxiliary_tokens", "highlighted", "mask_of"),
}


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
        self.report = Report()

    def finish(self, loaded: Loaded, found: Relevance, future: Future[list[Written]]) -> None:
        """Enter a sample into the manifests, once its pictures are written.

        Raises:
            OSError: where they could not be written.
        """
        start = time.perf_counter()
        error = future.exception()
        self.report.seconds_writing += time.perf_counter() - start
        if error is not None:
            if isinstance(error, OSError):  # a full disk is the run's matter, not the sample's
                raise error
            self.fail(loaded.job, "render", error)
            return
        for sink, file_names, flat in future.result():
            self._note(sink).add(_row(loaded, found.facts, file_names, flat))
            self.report.flat += flat
        self.report.finished += 1
        self._progress(self.report)

    def fail(self, job: Job, stage: str, error: BaseException) -> None:
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
        """Close every sink that was handed something."""
        for sink in self._sinks.values():
            sink.close()

    def _note(self, sink: Sink) -> Sink:
        return self._sinks.setdefault(id(sink), sink)


def _row(
    loaded: Loaded, facts: Mapping[str, Any], file_names: Mapping[str, str], flat: bool
) -> dict[str, Any]:
    """The manifest's row; what the dataset knows keeps its name where that is free.

    With another sample's mask it says whose, instead of what the model found out about that one.
    """
    sample, mask_of = loaded.job.sample, loaded.subject.key
    extra = {
        f"dataset_{name}" if name in _MANIFEST_FIELDS else name: value
        for name, value in sample.extra.items()
    }
    return {
        **file_names,
        "key": sample.key,
        "index": sample.index,
        "question": sample.question,
        **({} if sample.hint is None else {"query": sample.hint}),
        **(facts if mask_of == sample.key else {"mask_of": mask_of}),
        **extra,
        "image_sha256": loaded.sha256,
        "flat": flat,
    }
