"""What a user sees while a command works: everything on stderr, a bar only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


class Counts(Protocol):
    """How far a run is."""

    @property
    def finished(self) -> int:
        """Samples that are done."""
        ...

    @property
    def failed(self) -> int:
        """Samples that failed."""
        ...


class Console:
    """Messages, warnings, errors and progress on stderr.

    Args:
        quiet: errors only.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._rich = rich.console.Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def say(self, message: str) -> None:
        """One line, unless quiet."""
        if not self._quiet:
            self._rich.print(message, markup=False)

    def warn(self, message: str) -> None:
        """One line the user should notice, unless quiet."""
        if not self._quiet:
            self._rich.print(f"warning: {message}", style="yellow", markup=False)

    def error(self, message: str) -> None:
        """One line, always."""
        self._rich.print(f"error: {message}", style="red", markup=False)

    def show(self, renderable: object) -> None:
        """A table or the like that was asked for, on stdout."""
        rich.print(renderable)

    @contextmanager
    def progress(
        self, total: int, doing: str = "masking", unit: str = "images"
    ) -> Iterator[Callable[[Counts], None]]:
        """Show how far a run of `total` samples is; call what this yields after each sample."""
        if self._quiet:
            yield lambda report: None
        elif self._rich.is_terminal:
            yield from self._bar(total, doing, unit)
        else:
            yield self._lines(total, unit)

    def _bar(self, total: int, doing: str, unit: str) -> Iterator[Callable[[Counts], None]]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
        )
        start = time.perf_counter()
        with Progress(*columns, console=self._rich) as bar:
            task = bar.add_task(doing, total=total, speed="")

            def advance(report: Counts) -> None:
                done = report.finished + report.failed
                speed = f"{done / (time.perf_counter() - start):.1f} {unit}/s"
                failed = f", {report.failed} failed" if report.failed else ""
                bar.update(task, completed=done, speed=speed + failed)

            yield advance

    def _lines(self, total: int, unit: str) -> Callable[[Counts], None]:
        start = time.perf_counter()
        last = start

        def advance(report: Counts) -> None:
            nonlocal last
            done, now = report.finished + report.failed, time.perf_counter()
            if now - last < _SECONDS_BETWEEN_LINES and done < total:
                return
            last = now
            failed = f", {report.failed} failed" if report.failed else ""
            self.say(f"{done}/{total} samples, {done / (now - start):.1f} {unit}/s{failed}")

        return advance
