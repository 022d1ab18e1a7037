"""One command, from its configuration to finished run folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from api_cli import model_card
from api_cli.config import ClipConfig, LlavaConfig, RunConfig
from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.launch import Launch
from api_cli.map_store import FOLDER, MapStore
from api_cli.methods import CLIP, LLAVA, Method
from api_cli.model_card import ModelCard
from api_cli.pipeline import Belt, Report, default_num_workers
from api_cli.plan import list_settings, open_folders, pending, resolve_layers
from api_cli.relevance import Checkpoint, RelevanceModel
from api_cli.relevance.fit import grid_part
from api_cli.run_folder import digest_text, finished_keys, safe_name
from datasets_manager import get_dataset

if TYPE_CHECKING:
    from api_cli.relevance.clip_checkpoint import ClipCheckpoint
    from api_cli.relevance.llava_checkpoint import LlavaCheckpoint


class Outcome(NamedTuple):
    """What a command did.

    Attributes:
        folders: run folders, in the order of the settings.
        report: what the belt did; None where there was nothing to do, or it was a dry run.
    """

    folders: list[Path]
    report: Report | None


class Auxiliary(NamedTuple):
    """The model that a command was told to use, not yet looked for.

    Attributes:
        method: what is made of its maps.
        words: method, model name and what else it was asked for with, for `model_card`.
        find: finds it, without loading it.
        load: loads it, to run in a precision.
        asked: what else determines its maps: prompt, length of the answer, ...
    """

    method: Method
    words: tuple[str, ...]
    find: Callable[[], Checkpoint]
    load: Callable[[str], RelevanceModel]
    asked: Mapping[str, Any]


def run_clip(config: ClipConfig, console: Console, launch: Launch) -> Outcome:
    """Do what `apiprompt clip` was asked to.

    Raises:
        ApipromptError, DatasetError, OSError: with a message for the user.
    """

    def find() -> ClipCheckpoint:
        from api_cli.relevance.clip_checkpoint import ClipCheckpoint

        return ClipCheckpoint(config.model, config.pretrained)

    def load(precision: str) -> RelevanceModel:
        from api_cli.relevance.clip import ClipRelevance
        from api_cli.relevance.device import pick_device

        device = pick_device(config.device, launch.local_rank)
        console.say(f"loading {config.model} on {device}")
        return ClipRelevance(find(), fit=config.fit, device=str(device), precision=precision)

    words = (CLIP.name, config.model, *([config.pretrained] if config.pretrained else []))
    return _run(config, Auxiliary(CLIP, words, find, load, {}), console, launch)


def run_llava(config: LlavaConfig, console: Console, launch: Launch) -> Outcome:
    """Do what `apiprompt llava` was asked to.

    Raises:
        ApipromptError, DatasetError, OSError: with a message for the user.
    """

    def find() -> LlavaCheckpoint:
        from api_cli.relevance.llava_checkpoint import LlavaCheckpoint, require_bitsandbytes

        if config.load_in is not None:
            require_bitsandbytes(config.load_in)
        return LlavaCheckpoint(config.model)

    def load(precision: str) -> RelevanceModel:
        from api_cli.relevance.device import pick_device
        from api_cli.relevance.llava import LlavaRelevance

        device = str(pick_device(config.device, launch.local_rank))
        console.say(f"loading {config.model} on {device} in {precision}")
        if device == "cpu" and precision == "fp16":
            console.warn("fp16 is slow on a CPU; --precision fp32, where memory does, is faster")
        may_spread = config.device == "auto" and launch.world_size == 1
        return LlavaRelevance(
            find(),
            fit=config.fit,
            device="auto" if may_spread else device,
            precision=precision,
            load_in=config.load_in,
            max_new_tokens=config.max_new_tokens,
            prompt_template=config.prompt_template,
            highlight=config.highlight,
        )

    asked = {
        name: getattr(config, name)
        for name in ("max_new_tokens", "prompt_template", "highlight", "load_in")
    }
    words = (LLAVA.name, config.model)
    return _run(config, Auxiliary(LLAVA, words, find, load, asked), console, launch)


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
    )
    resolve_layers(config.layer_index, card)  # before any download
    if config.dry_run:
        return card
    card = card._replace(weights=checkpoint.identity)
    if config.map_store:
        model_card.remember(folder, auxiliary.words, card, checkpoint.weights_files)
    return card


def _run(config: RunConfig, auxiliary: Auxiliary, console: Console, launch: Launch) -> Outcome:
    """The same for every method.

    Args:
        config: what was asked for.
        auxiliary: the model.
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
    method = auxiliary.method
    card = _find_card(config, auxiliary, console)
    name = f"{method.folder_prefix}_{safe_name(dataset.name)}_{card.short_name}"
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
    determining = {"dataset": dataset.name, **identity, **auxiliary.asked}
    variants = open_folders(config, settings, determining)
    jobs = pending(dataset, samples, variants, console, save_maps=config.save_maps)
    folders = [setting.path for setting in settings]
    if not jobs:
        console.say(f"nothing left to do: all {len(samples)} samples are finished")
        return Outcome(folders, None)

    store = None
    if config.map_store:
        asked = json.dumps(auxiliary.asked, sort_keys=True) if auxiliary.asked else ""
        words = [*identity.values(), *([digest_text(asked)] if asked else [])]
        folder = config.output_folder / FOLDER / safe_name("_".join(words))
        store = MapStore(folder, {**identity, **auxiliary.asked})
        for shard in store.damaged:
            console.warn(f"{shard} is damaged or another model's: set aside, and made again")
    with console.progress(len(jobs)) as advance:
        belt = Belt(
            method,
            partial(auxiliary.load, precision),
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
