"""One fragment after the other through a belt, each into whole shards; the engines call it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from api_cli.console import Console
from api_cli.errors import explain
from api_cli.options.launch import Launch
from api_cli.options.location import Location
from api_cli.options.run import RunConfig
from api_cli.relevance.auxiliaries import auxiliary_of
from api_cli.runs.assembly import Assembly
from api_cli.runs.jobs import Job, Report, Variant
from api_cli.runs.model_card import ModelCard
from api_cli.runs.settings import Setting
from api_cli.runs.shards.fragment_maps import FragmentMaps
from api_cli.runs.shards.names import ShardName
from api_cli.runs.shards.place import Place
from api_cli.runs.shards.sharded_folder import ShardedFolder
from datasets_manager import Dataset, DatasetError, Fragment


class Target(NamedTuple):
    """One setting, and where its shards go."""

    setting: Setting
    folder: ShardedFolder


class Recipe(NamedTuple):
    """All that a worker has to know; can be pickled.

    Attributes:
        config: of the run.
        card: of the model.
        targets: the settings.
        total: fragments of the plan.
        maps: where kept maps of the plan are; None to keep none.
        folder: in which the command was started, for paths relative to it.
    """

    config: RunConfig
    card: ModelCard
    targets: tuple[Target, ...]
    total: int
    maps: Location | None
    folder: str


class Task(NamedTuple):
    """A fragment, and the numbers of the targets that lack it."""

    fragment: Fragment
    missing: tuple[int, ...]


class Done(NamedTuple):
    """What became of a fragment.

    Attributes:
        number: of the fragment.
        report: what was done.
        error: why it is not done; None where it is.
        notes: what was left out while listing it, a sentence each.
        warnings: what the user should know beside.
    """

    number: int
    report: Report
    error: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Worker:
    """Does fragments. The model is loaded by the first that needs it, and kept.

    Args:
        recipe: what to do.
        console: for messages.
        launch: which of several processes this is.
        progress: called with what is done of all fragments, after each sample.
    """

    def __init__(
        self,
        recipe: Recipe,
        console: Console,
        launch: Launch,
        progress: Callable[[Report], None] = lambda report: None,
    ) -> None:
        with suppress(OSError):  # on another machine there may be no such folder
            os.chdir(recipe.folder)
        self._recipe = recipe
        auxiliary = auxiliary_of(recipe.config, console, launch)
        assembly = Assembly(recipe.config, auxiliary, recipe.card)
        self._maps: FragmentMaps | None = None
        if recipe.maps is not None:
            self._maps = FragmentMaps(Place(recipe.maps), assembly.identity)
        self._belt = assembly.belt(self._note, store=self._maps)
        self._progress = progress
        self._report = Report()

    def __call__(self, task: Task) -> Done:
        """Do a fragment in the settings that lack it. What cannot be opened is said, not raised.

        Raises:
            ApipromptError, OSError: where the model will not do or nothing can be written.
        """
        number = task.fragment.number
        try:
            dataset = task.fragment.open()
        except DatasetError as error:
            return Done(number, Report(), str(error))
        before = replace(self._report)
        warnings = self._mask(dataset, task)
        return Done(number, self._report - before, None, tuple(dataset.notes), warnings)

    def _mask(self, dataset: Dataset, task: Task) -> tuple[str, ...]:
        number = task.fragment.number
        targets = [self._recipe.targets[index] for index in task.missing]
        sinks = [target.folder.sink(number, dataset) for target in targets]
        variants = tuple(
            Variant(setting.reads, setting.mask, sink)
            for (setting, _), sink in zip(targets, sinks, strict=True)
        )
        name = ShardName(number, self._recipe.total).file(".safetensors")
        if self._maps is not None:
            self._maps.begin(name)
        self._report = replace(self._belt.run([Job(sample, variants) for sample in dataset]))
        for sink in sinks:  # also of a fragment without samples, of which no belt has heard
            sink.close()
        try:
            if self._maps is not None:
                self._maps.end(name)
        except OSError as error:
            return (f"relevance maps cannot be kept ({explain(error)}); --no-map-store tries not",)
        return ()

    def _note(self, report: Report) -> None:
        self._progress(report)
