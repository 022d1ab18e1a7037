"""One command, from its configuration to finished run folders."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from api_cli import model_card
from api_cli.config import ClipConfig, RunConfig
from api_cli.console import Console
from api_cli.errors import RunFolderError, UsageError
from api_cli.launch import Launch
from api_cli.map_store import FOLDER, MapStore
from api_cli.masking import MaskSettings
from api_cli.methods import CLIP, Method
from api_cli.model_card import ModelCard
from api_cli.pipeline import MAPS_SUFFIX, Belt, Job, Report, Variant, default_num_workers
from api_cli.relevance import RelevanceModel
from api_cli.relevance.fit import GridPart, grid_part
from api_cli.run_folder import RunFolder, digest_text, finished_keys, safe_name
from datasets_manager import Dataset, Sample, get_dataset


class Outcome(NamedTuple):
    """What a command did.

    Attributes:
        folders: run folders, in the order of the settings.
        report: what the belt did; None where there was nothing to do, or it was a dry run.
    """

    folders: list[Path]
    report: Report | None


class Setting(NamedTuple):
    """One combination of the values asked for, and its run folder's path."""

    layer: int
    mask: MaskSettings
    path: Path


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
    dataset = get_dataset(config.dataset, config.data_root)
    selected = dataset[slice(*config.range) if config.range else slice(None)]
    if not selected:
        console.warn(f"no samples in that range: {dataset.name} has {len(dataset)}")
    samples = launch.share(selected, config.shard)
    card = find()
    layers = resolve_layers(config.layer_index, card.number_of_layers)
    name = f"{method.folder_prefix}_{dataset.name}_{card.short_name}"
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
            partial(_locate, config.fit, card.grid),
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


def _locate(fit: str, grid: tuple[int, int], size: tuple[int, int]) -> GridPart:
    return grid_part(fit, size, grid)


def resolve_layers(layer_index: Sequence[int], number_of_layers: int) -> list[int]:
    """Layers counted from 0, each once. Raises UsageError for one the model does not have."""
    for index in layer_index:
        if not -number_of_layers <= index < number_of_layers:
            raise UsageError(
                f"--layer-index {index}: the model has layers 0 to {number_of_layers - 1} "
                f"(or -{number_of_layers} to -1, from the end)"
            )
    return list(dict.fromkeys(index % number_of_layers for index in layer_index))


def list_settings(config: RunConfig, name: str, layers: Sequence[int]) -> list[Setting]:
    """Every combination of the values asked for, with folders as in METHOD.md section 6.

    Args:
        config: of the run.
        name: first part of the run folders' names: method, dataset and model.
        layers: resolved.
    """
    masks = product(
        config.enhance_coe, config.kernel_size, config.interpolate_method_name, config.grayscale
    )
    return [
        Setting(
            layer,
            MaskSettings(*mask),
            config.output_folder / f"{name}_{layer}" / "_".join(map(str, mask)),
        )
        for layer, mask in product(layers, list(masks))
    ]


def open_folders(
    config: RunConfig, settings: Sequence[Setting], determining: Mapping[str, Any]
) -> list[Variant]:
    """The run folders of the settings, each checked to hold nothing of other settings.

    Args:
        config: of the run.
        settings: layers, mask parameters and paths.
        determining: what else determines the pictures.
    """
    pictures = {"format": config.format}
    if config.format != "png":
        pictures["quality"] = config.quality  # type: ignore[assignment]
    variants = []
    for layer, mask, path in settings:
        alone: dict[str, Any] = {name: (value,) for name, value in mask._asdict().items()}
        this_one = replace(config, layer_index=(layer,), overwrite=False, **alone)
        folder = RunFolder(
            path,
            {**determining, "layer_index": layer, **mask._asdict(), **pictures},
            {
                "config": this_one.to_dict(),
                "versions": _versions(),
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            image_format=config.format,
            overwrite=config.overwrite,
        )
        variants.append(Variant(layer, mask, folder))
    return variants


def pending(
    dataset: Dataset,
    samples: Sequence[Sample],
    variants: Sequence[Variant],
    console: Console,
    *,
    save_maps: bool = False,
) -> list[Job]:
    """Samples with the settings in which they are not finished.

    Args:
        dataset: the whole, against which the folders are checked.
        samples: those of it that are this run's.
        variants: the settings.
        console: for messages.
        save_maps: whether a sample without maps beside its image is unfinished.

    Raises:
        RunFolderError: where a folder holds a sample of other content: not in the dataset, under
            another question, or made from another picture.
    """
    questions = {sample.key: digest_text(sample.question) for sample in dataset}
    for variant in variants:
        for key in variant.folder:
            source = variant.folder.source(key)
            if source is not None and source.question != questions.get(key):
                what = "has another question" if key in questions else "is not in the dataset"
                raise _other_content(variant.folder, f"its sample {key!r} {what}", dataset)

    def is_missing(key: str, folder: RunFolder) -> bool:
        return key not in folder or (save_maps and not folder.has_beside(key, MAPS_SUFFIX))

    jobs, finished = [], []
    for sample in samples:
        missing = tuple(v for v in variants if is_missing(sample.key, v.folder))
        if missing:
            jobs.append(Job(sample, missing))
        if len(missing) < len(variants):
            finished.append(sample)

    with ThreadPoolExecutor(default_num_workers("auto")) as pool:
        for sample, digest in zip(finished, pool.map(_image_digest, finished), strict=True):
            for variant in variants:
                source = variant.folder.source(sample.key)
                if source is not None and digest is not None and source.image != digest:
                    what = f"its sample {sample.key!r} was made from another picture"
                    raise _other_content(variant.folder, what, dataset)
    if finished and jobs:
        console.say(f"{len(samples) - len(jobs)} of {len(samples)} samples are finished already")
    return jobs


def _image_digest(sample: Sample) -> str | None:
    """SHA-256 of a sample's picture; None where it cannot be read, so its result just stays."""
    try:
        return sha256(sample.read_image()).hexdigest()
    except OSError:
        return None


def _other_content(folder: RunFolder, what: str, dataset: Dataset) -> RunFolderError:
    return RunFolderError(
        f"{folder.path} holds results of other dataset content: {what} ({dataset.name}). "
        "Use another --output-folder, or --overwrite to replace them"
    )


def _versions() -> dict[str, str]:
    packages = ("apiprompt", "torch", "torchvision", "open_clip_torch", "transformers", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
