"""What a run into shards has to do: the settings' folders, the plan, and what is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

from api_cli.options.launch import Launch
from api_cli.options.run import RunConfig
from api_cli.runs.assembly import Assembly
from api_cli.runs.plan import picture_settings, record_of
from api_cli.runs.rendering import MAPS_SUFFIX
from api_cli.runs.shards.place import Place
from api_cli.runs.shards.schema import Kind, Schema, find_columns
from api_cli.runs.shards.sharded_folder import ShardedFolder
from api_cli.runs.shards.worker import Target, Task
from datasets_manager import DatasetError, Fragment, Fragments

PICTURES = ("file_name",)  # that a belt makes of a sample, as of `Sink.save_images`


def plan_of(config: RunConfig, fragments: Fragments) -> dict[str, Any]:
    """How the dataset is cut: shards' numbers mean the same samples only where this is the same."""
    chosen = {} if config.range is None else {"range": list(config.range)}
    return {
        "shard_size": config.shard_size,
        "fragments": len(fragments.parts),
        "samples": fragments.samples,
        "source": fragments.source,
        **chosen,
    }


def targets_of(assembly: Assembly, fragments: Fragments) -> list[Target]:
    """All settings with their folders, whose columns are not known yet."""
    config = assembly.config
    total = len(fragments.parts)
    unknown = Schema((), {})
    return [
        Target(
            setting,
            ShardedFolder(Place(setting.path), config.output_format, total, config.format, unknown),
        )
        for setting in assembly.settings(fragments.name)
    ]


def open_targets(assembly: Assembly, fragments: Fragments) -> list[Target]:
    """All settings, their folders begun, or checked to be of these settings and this plan."""
    config = assembly.config
    plan = plan_of(config, fragments)

    beside: tuple[str, ...] = ()
    if config.save_maps:
        beside = (*(f".{name}.jpg" for name, _ in assembly.auxiliary.method.maps), MAPS_SUFFIX)
    shape = Schema(PICTURES, {}, beside)

    @cache
    def columns() -> Mapping[str, Kind]:
        return _columns(assembly, fragments, shape)

    opened = []
    for setting, folder in targets_of(assembly, fragments):
        if config.overwrite:
            folder.clear()
        settings = {
            **assembly.determining(fragments.name),
            **setting.values,
            **picture_settings(config),
            "output_format": config.output_format,
            **({"save_maps": True} if config.save_maps else {}),
        }
        rendering = str(setting.values["render"])
        folder = folder._replace(schema=shape.of_rendering(rendering))
        find = partial(_with_facts, columns, rendering)
        claimed = folder.claimed(settings, plan, find, record_of(config, setting))
        opened.append(Target(setting, claimed))
    return opened


def _with_facts(columns: Callable[[], Mapping[str, Kind]], rendering: str) -> Mapping[str, Kind]:
    return Schema((), columns()).of_rendering(rendering).columns


def find_tasks(
    config: RunConfig, fragments: Sequence[Fragment], targets: Sequence[Target]
) -> list[Task]:
    """Fragments that are not done, each with the settings that lack it.

    Args:
        config: of the run.
        fragments: those of the plan that are this process's.
        targets: the settings.
    """
    standing = [target.folder.done() for target in targets]
    if config.retry_failed:
        pairs = zip(standing, targets, strict=True)
        standing = [done - target.folder.failed() for done, target in pairs]
    tasks = []
    for fragment in fragments:
        missing = (n for n, done in enumerate(standing) if fragment.number not in done)
        if numbers := tuple(missing):
            tasks.append(Task(fragment, numbers))
    return tasks


def share(fragments: Sequence[Fragment], config: RunConfig, launch: Launch) -> Sequence[Fragment]:
    """This process's fragments: every N-th of them."""
    index, number = config.shard
    return fragments[index * launch.world_size + launch.rank :: number * launch.world_size]


def _columns(assembly: Assembly, fragments: Fragments, shape: Schema) -> Mapping[str, Kind]:
    """The columns of all shards, by the first fragment that can be opened."""
    for fragment in fragments.parts:
        with suppress(DatasetError):  # its own matter, when it is done
            return find_columns(fragment.open(), assembly.auxiliary.method, shape)
    return find_columns((), assembly.auxiliary.method, shape)
