"""What a user sees while a command works: everything on stderr, a bar only on a terminal."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 10.0


class _Unfailing:
    """A stream for messages: that nobody can read them any more is no reason to stop working."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Nowhere(io.TextIOBase):
    """A stream that nobody reads."""

    def write(self, text: str) -> int:
        return len(text)


def keep_streams() -> None:
    """Let messages be lost where stderr is closed or its reader has left, and close no stream.

    A file opened later would else take a closed stream's place, and what some library has to say
    would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, _Nowhere())
    sys.stderr = _Unfailing(sys.stderr)
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the locale cannot write
        sys.stdout.reconfigure(errors="backslashreplace")


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
        # without stderr, rich would take stdout
        stderr: Any = sys.stderr or _Nowhere()
        # what a message quotes stays as it is, `:cat:` as well
        self._rich = rich.console.Console(
            file=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False
        )

    def say(self, message: str) -> None:
        """One line, unless quiet."""
        if not self._quiet:
            self._rich.print(message)

    def warn(self, message: str) -> None:
        """One line the user should notice, unless quiet."""
        if not self._quiet:
            self._rich.print(f"warning: {message}", style="yellow")

    def error(self, message: str) -> None:
        """One line, always."""
        line = f"error: {message}"
        try:
            self._rich.print(line, style="red")
        except MemoryError:  # rich wants some
            sys.stderr.write(f"{line}\n")

    def show(self, renderable: object) -> None:
        """A table or the like that was asked for, on stdout."""
        rich.print(renderable)

    @contextmanager
    def progress(
        self,
        total: int,
        doing: str = "masking",
        unit: str = "images",
        of: str = "samples",
        done: Callable[[Counts], int] = lambda report: report.finished + report.failed,
    ) -> Iterator[Callable[[Counts], None]]:
        """Show how far a run is; call what this yields after each sample.

        Args:
            total: of what is to be done.
            doing: what the run does.
            unit: of its speed.
            of: what is to be done, in words for several.
            done: how much of it is.
        """
        if self._quiet:
            yield lambda report: None
        elif self._rich.is_terminal:
            yield from self._bar(total, doing, unit, done)
        else:
            yield self._lines(total, unit, of, done)

    def _bar(
        self, total: int, doing: str, unit: str, done: Callable[[Counts], int]
    ) -> Iterator[Callable[[Counts], None]]:
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
                samples = report.finished + report.failed
                speed = f"{samples / (time.perf_counter() - start):.1f} {unit}/s"
                failed = f", {report.failed} failed" if report.failed else ""
                bar.update(task, completed=done(report), speed=speed + failed)

            yield advance

    def _lines(
        self, total: int, unit: str, of: str, done: Callable[[Counts], int]
    ) -> Callable[[Counts], None]:
        start = time.perf_counter()
        last = start

        def advance(report: Counts) -> None:
            nonlocal last
            so_far, now = done(report), time.perf_counter()
            if now - last < _SECONDS_BETWEEN_LINES and so_far < total:
                return
            last = now
            speed = (report.finished + report.failed) / (now - start)
            failed = f", {report.failed} failed" if report.failed else ""
            self.say(f"{so_far}/{total} {of}, {speed:.1f} {unit}/s{failed}")

        return advance
