"""One command, from its configuration to finished run folders."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from api_cli.console import Console
from api_cli.errors import ModelError, UsageError, explain
from api_cli.options.launch import Launch, default_num_workers
from api_cli.options.run import RunConfig
from api_cli.relevance import Auxiliary, RelevanceModel
from api_cli.relevance.auxiliaries import auxiliary_of
from api_cli.relevance.fit import grid_part
from api_cli.relevance.layers import readable_layers, resolve_layers
from api_cli.runs import model_card
from api_cli.runs.belt import Belt
from api_cli.runs.files import naming
from api_cli.runs.jobs import Report
from api_cli.runs.map_store import FOLDER, MapStore
from api_cli.runs.model_card import ModelCard
from api_cli.runs.names import digest_text, portable_name
from api_cli.runs.plan import open_folders, pending
from api_cli.runs.run_folder import finished_keys
from api_cli.runs.settings import list_settings
from api_cli.runs.shuffling import Shuffle
from datasets_manager import Sample, get_dataset


class Outcome(NamedTuple):
    """What a command did.

    Attributes:
        folders: run folders, in the order of the settings.
        report: what the belt did; None where there was nothing to do, or it was a dry run.
    """

    folders: list[Path]
    report: Report | None


def run(config: RunConfig, console: Console, launch: Launch) -> Outcome:
    """Do what `apiprompt clip` or `apiprompt llava` was asked to.

    Args:
        config: what was asked for.
        console: for messages.
        launch: this process among several.

    Raises:
        ApipromptError, DatasetError, OSError: with a message for the user.
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
    for note in dataset.notes:
        console.say(note)
    selected = dataset[slice(*config.range) if config.range else slice(None)]
    if not selected:
        console.warn(f"no samples in that range: {dataset.name} has {len(dataset)}")
    samples = launch.share(selected, config.shard, Sample.shares_picture, Sample.shares_group)
    if launch.world_size > 1:  # said by each: variables left over from another job look the same
        Console(quiet=config.quiet).say(launch.describe(len(samples), len(selected)))
    auxiliary = auxiliary_of(config, console, launch)
    method = auxiliary.method
    card = _find_card(config, auxiliary, console)
    name = f"{method.folder_prefix}_{portable_name(dataset.name)}_{card.short_name}"
    settings = list_settings(config, name, resolve_layers(config.layer_index, card))
    if config.dry_run:
        for setting in settings:
            done = finished_keys(setting.path)
            left = sum(sample.key not in done for sample in samples)
            console.say(f"{setting.path}: {left} of {len(samples)} samples to do")
        return Outcome([], None)

    precision = card.precision if config.precision == "auto" else config.precision
    identity = {
        "method": method.name,
        "model_name": card.short_name,
        "weights": card.weights,
        "fit": config.fit,
        "precision": precision,
    }
    shuffle = None if config.shuffle_masks is None else Shuffle(dataset, config.shuffle_masks)
    control = {} if shuffle is None else shuffle.settings
    determining = {"dataset": dataset.name, **identity, **auxiliary.asked, **control}
    opened = open_folders(config, settings, determining, dataset)
    jobs = pending(
        dataset, samples, opened, console, save_maps=config.save_maps, verify=config.verify
    )
    folders = [setting.path for setting in settings]
    if not jobs:
        for variant, _ in opened:
            variant.sink.close()
        console.say(f"nothing left to do: all {len(samples)} samples are finished")
        return Outcome(folders, None)

    store = None
    if config.map_store:
        asked = json.dumps(auxiliary.asked, sort_keys=True) if auxiliary.asked else ""
        words = [*identity.values(), *([digest_text(asked)] if asked else [])]
        folder = config.output_folder / FOLDER / portable_name("_".join(words))
        store = MapStore(folder, {**identity, **auxiliary.asked}, console.warn)
    with naming(config.output_folder), console.progress(len(jobs)) as advance:
        belt = Belt(
            method,
            partial(_load, auxiliary, precision, card, config.output_folder / FOLDER),
            partial(grid_part, config.fit, grid=card.grid),
            store=store,
            shuffle=shuffle,
            general=config.relative_to,
            save_maps=config.save_maps,
            image_format=config.format,
            quality=config.quality,
            batch_size=config.batch_size,
            num_workers=default_num_workers(config.num_workers),
            progress=advance,
        )
        report = belt.run(jobs)
    for variant, _ in opened:  # also those that lacked nothing, whose pictures were looked at
        variant.sink.close()
    return Outcome(folders, report)


def _find_card(config: RunConfig, auxiliary: Auxiliary, console: Console) -> ModelCard:
    """The card of the model asked for: remembered, or read off its checkpoint."""
    folder = config.output_folder / FOLDER
    if config.map_store:
        card = model_card.recall(folder, auxiliary.words)
        if card is not None:
            return card
    console.say(f"looking for {auxiliary.words[1]}")
    checkpoint = auxiliary.find()
    card = ModelCard(
        checkpoint.short_name,
        "",
        checkpoint.number_of_layers,
        checkpoint.grid,
        checkpoint.default_layer,
        checkpoint.precision,
        tuple(readable_layers(checkpoint)),
    )
    resolve_layers(config.layer_index, card)  # before any download
    if config.dry_run:
        return card
    card = card._replace(weights=checkpoint.identity)
    if config.map_store:
        try:
            model_card.remember(folder, auxiliary.words, card, checkpoint.weights_files)
        except OSError as error:
            console.warn(f"what was found out of the model cannot be kept ({explain(error)})")
    return card


def _load(auxiliary: Auxiliary, precision: str, card: ModelCard, folder: Path) -> RelevanceModel:
    """The auxiliary model, if its weights are still those of its card.

    Where this process has read the weights for the card, their digest is there already; else it
    is taken while they are loaded.

    Raises:
        ModelError: where the weights have changed under the same name.
    """
    checkpoint = auxiliary.find()
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(lambda: checkpoint.identity)
        model = auxiliary.load(precision)
    if digest.result() != card.weights:
        with suppress(OSError):
            model_card.forget(folder, auxiliary.words)
        raise ModelError(
            f"the weights of {auxiliary.words[1]} have changed since they were last looked at, "
            f"from {card.weights} to {digest.result()}; nothing was made with them: run the same "
            "command again"
        )
    return model
