"""One command, from its configuration to finished run folders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from api_cli import model_card
from api_cli.config import ClipConfig
from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.launch import Launch
from api_cli.map_store import FOLDER, MapStore
from api_cli.methods import CLIP, Method
from api_cli.model_card import ModelCard
from api_cli.pipeline import Belt, Report, default_num_workers
from api_cli.plan import list_settings, open_folders, pending, resolve_layers
from api_cli.relevance import RelevanceModel
from api_cli.relevance.fit import grid_part
from api_cli.run_folder import finished_keys, safe_name
from datasets_manager import get_dataset


class Outcome(NamedTuple):
    """What a command did.

    Attributes:
        folders: run folders, in the order of the settings.
        report: what the belt did; None where there was nothing to do, or it was a dry run.
    """

    folders: list[Path]
    report: Report | None


def run_clip(config: ClipConfig, console: Console, launch: Launch) -> Outcome:
    """Do what `apiprompt clip` was asked to.

    Raises:
        ApipromptError, DatasetError, OSError: with a message for the user.
    """

    def load() -> RelevanceModel:
        from api_cli.relevance.checkpoint import ClipCheckpoint
        from api_cli.relevance.clip import ClipRelevance
        from api_cli.relevance.device import pick_device

        device = pick_device(config.device, launch.local_rank)
        console.say(f"loading {config.model} on {device}")
        checkpoint = ClipCheckpoint(config.model, config.pretrained)
        return ClipRelevance(
            checkpoint, fit=config.fit, device=str(device), precision=config.precision
        )

    return _run(config, CLIP, partial(_clip_card, config), load, console, launch)


def _clip_card(config: ClipConfig) -> ModelCard:
    """The card of the CLIP asked for: remembered, or read off the checkpoint."""
    folder = config.output_folder / FOLDER
    if config.map_store:
        card = model_card.recall(folder, config.model, config.pretrained)
        if card is not None:
            return card
    from api_cli.relevance.checkpoint import ClipCheckpoint

    checkpoint = ClipCheckpoint(config.model, config.pretrained)
    card = ModelCard(checkpoint.short_name, "", checkpoint.number_of_layers, checkpoint.grid)
    resolve_layers(config.layer_index, card.number_of_layers)  # before any download
    if config.dry_run:
        return card
    card = card._replace(weights=checkpoint.identity)
    if config.map_store:
        model_card.remember(folder, config.model, config.pretrained, card, checkpoint.weights_file)
    return card


def _run(
    config: ClipConfig,
    method: Method,
    find: Callable[[], ModelCard],
    load: Callable[[], RelevanceModel],
    console: Console,
    launch: Launch,
) -> Outcome:
    """The same for every method.

    Args:
        config: what was asked for.
        method: of METHOD.md.
        find: what must be known of the model before it is loaded.
        load: loads it, where maps must be computed.
        console: for messages.
        launch: this process among several.
    """
    alone = launch.world_size == 1 and config.shard == (0, 1)
    if config.overwrite and not alone:
        raise UsageError(
            "--overwrite does not go with --shard or several processes, since each would delete "
            "what the others have made; delete the run folders first"
        )
    if config.device not in ("auto", "cpu"):
        from api_cli.relevance.device import pick_device

        pick_device(config.device)
    dataset = get_dataset(config.dataset, config.data_root, config.dataset_options)
    selected = dataset[slice(*config.range) if config.range else slice(None)]
    if not selected:
        console.warn(f"no samples in that range: {dataset.name} has {len(dataset)}")
    samples = launch.share(selected, config.shard)
    card = find()
    layers = resolve_layers(config.layer_index, card.number_of_layers)
    name = f"{method.folder_prefix}_{safe_name(dataset.name)}_{card.short_name}"
    settings = list_settings(config, name, layers)
    if config.dry_run:
        for setting in settings:
            done = finished_keys(setting.path)
            left = sum(sample.key not in done for sample in samples)
            console.say(f"{setting.path}: {left} of {len(samples)} samples to do")
        return Outcome([], None)

    identity = {
        "method": method.name,
        "model_name": card.short_name,
        "weights": card.weights,
        "fit": config.fit,
        "precision": config.precision,
    }
    variants = open_folders(config, settings, {"dataset": dataset.name, **identity})
    jobs = pending(dataset, samples, variants, console, save_maps=config.save_maps)
    folders = [setting.path for setting in settings]
    if not jobs:
        console.say(f"nothing left to do: all {len(samples)} samples are finished")
        return Outcome(folders, None)

    store = None
    if config.map_store:
        folder = config.output_folder / FOLDER / safe_name("_".join(identity.values()))
        store = MapStore(folder, identity)
        for shard in store.damaged:
            console.warn(f"{shard} is damaged or another model's: set aside, and made again")
    with console.progress(len(jobs)) as advance:
        belt = Belt(
            method,
            load,
            partial(grid_part, config.fit, grid=card.grid),
            store=store,
            save_maps=config.save_maps,
            image_format=config.format,
            quality=config.quality,
            batch_size=config.batch_size,
            num_workers=default_num_workers(config.num_workers),
            progress=advance,
        )
        report = belt.run(jobs)
    return Outcome(folders, report)
