"""Fragments one after the other in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from api_cli.console import Console
from api_cli.options.launch import Launch
from api_cli.runs.jobs import Report
from api_cli.runs.shards.worker import Done, Recipe, Task, Worker


def do_here(
    recipe: Recipe,
    tasks: Iterable[Task],
    console: Console,
    launch: Launch,
    progress: Callable[[Report], None],
) -> Iterator[Done]:
    """Do fragments, in order.

    Args:
        recipe: how.
        tasks: what.
        console: for messages.
        launch: which of several processes this is.
        progress: called with what is done of all, after each sample.

    Raises:
        ApipromptError, OSError: as `Worker`.
    """
    worker = Worker(recipe, console, launch, progress)
    return map(worker, tasks)
