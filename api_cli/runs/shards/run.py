"""A run into shards, on any file system and by any engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from api_cli.console import Console
from api_cli.options.launch import Launch
from api_cli.options.run import RunConfig
from api_cli.runs.assembly import Assembly, assemble
from api_cli.runs.engines.local import do_here
from api_cli.runs.jobs import Report
from api_cli.runs.map_store import FOLDER
from api_cli.runs.names import digest_text
from api_cli.runs.outcome import Outcome
from api_cli.runs.shards.keys import check_keys
from api_cli.runs.shards.plan import find_tasks, open_targets, plan_of, share, targets_of
from api_cli.runs.shards.worker import Done, Recipe, Target, Task
from datasets_manager import Fragment, Fragments, get_fragments

_NAMED = 5  # fragments that are not done, at most, in a message


def run_into_shards(config: RunConfig, console: Console, launch: Launch) -> Outcome:
    """Mask samples into shards; see `run`."""
    fragments = get_fragments(
        config.dataset,
        config.data_root,
        config.dataset_options,
        size=config.shard_size,
        chosen=config.range,
    )
    for note in fragments.notes:
        console.say(note)
    if not fragments.parts:
        console.warn(f"no samples in that range of {fragments.name}")
    mine = share(fragments.parts, config, launch)
    if launch.world_size > 1:  # said by each: variables left over from another job look the same
        said = launch.describe(len(mine), len(fragments.parts), "fragments")
        Console(quiet=config.quiet).say(said)
    assembly = assemble(config, console, launch, apart=config.engine == "ray")
    if config.dry_run:
        for target in targets_of(assembly, fragments):
            number = len(find_tasks(config, mine, [target]))
            console.say(f"{target.folder.place}: {number} of {len(mine)} fragments to do")
        return Outcome([], None)

    targets = open_targets(assembly, fragments)
    tasks = find_tasks(config, mine, targets)
    folders = [target.folder.place.location for target in targets]
    report: Report | None = None
    left: list[str] = []
    if not tasks:
        console.say(f"nothing left to do: all {len(mine)} fragments are done")
    else:
        if len(tasks) < len(mine):
            console.say(f"{len(mine) - len(tasks)} of {len(mine)} fragments are done already")
        report, left = _do(_recipe(assembly, fragments, targets), tasks, console, launch)
    failed = report.failed if report else 0
    left += _standing(mine, targets, failed)
    left += _shared_keys(targets, anew=bool(tasks))
    if left:  # also where nothing was done
        report = replace(report or Report(), left=tuple(left))
    return Outcome(folders, report)


def _recipe(assembly: Assembly, fragments: Fragments, targets: Sequence[Target]) -> Recipe:
    config = assembly.config
    maps = None
    if config.map_store:
        plan = digest_text(json.dumps(plan_of(config, fragments)))
        maps = config.output_folder / FOLDER / assembly.maps_folder / plan
    total = len(fragments.parts)
    return Recipe(config, assembly.card, tuple(targets), total, maps, os.getcwd())  # noqa: PTH109


def _do(
    recipe: Recipe, tasks: Sequence[Task], console: Console, launch: Launch
) -> tuple[Report, list[str]]:
    """Do fragments; what was done, and in words which are not."""
    report, finished = Report(), 0
    undone: list[Done] = []
    said = set[str]()
    with console.progress(
        len(tasks), of="fragments", done=lambda report: finished + len(undone)
    ) as advance:
        for done in _engine(recipe, console, launch)(tasks, advance):
            report += done.report
            for note in (*done.notes, *done.warnings):
                if note not in said:
                    (console.warn if note in done.warnings else console.say)(note)
                    said.add(note)
            if done.error is None:
                finished += 1
            else:
                undone.append(done)
                console.warn(f"fragment {done.number} is not done: {done.error}")
            advance(report)
    if not undone:
        return report, []
    named = "; ".join(f"{one.number}: {one.error}" for one in undone[:_NAMED])
    more = f"; and {len(undone) - _NAMED} others" if len(undone) > _NAMED else ""
    return report, [
        f"{len(undone)} of {len(tasks)} fragments are not done, and the same command tries them "
        f"again ({named}{more})"
    ]


Engine = Callable[[Sequence[Task], Callable[[Report], None]], Iterator[Done]]


def _engine(recipe: Recipe, console: Console, launch: Launch) -> Engine:
    if recipe.config.engine == "ray":
        from api_cli.runs.engines.ray import do_on_cluster

        return lambda tasks, progress: do_on_cluster(recipe, tasks, console, progress)
    return lambda tasks, progress: do_here(recipe, tasks, console, launch, progress)


def _standing(mine: Sequence[Fragment], targets: Sequence[Target], failed: int) -> list[str]:
    """What is to be said of samples that failed, now or in an earlier start."""
    numbers = {fragment.number for fragment in mine}
    standing = {n for target in targets for n in target.folder.failed()} & numbers
    if not (failed or standing):
        return []
    count = f"{failed} samples failed" if failed else "samples failed in an earlier start"
    return [
        f"{count}; errors/ in the run folder has them, of {len(standing)} fragments, and says "
        "why: --retry-failed does these fragments again"
    ]


def _shared_keys(targets: Sequence[Target], *, anew: bool) -> list[str]:
    """What is to be said of keys that samples of different fragments share, once all are done."""
    left = []
    for target in targets:
        folder = target.folder
        if len(folder.done()) < folder.total:
            continue
        shared = check_keys(folder, anew=anew)
        if shared.number:
            left.append(
                f"{folder.place}: {shared.number} samples have the key of another one in another "
                f"shard ({', '.join(map(repr, shared.examples))}); give each its own, for "
                "example by --key-column, and use another --output-folder"
            )
    return left
