"""What a run has to do: the settings asked for, their folders, and the samples they lack."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.config import RunConfig
from api_cli.console import Console
from api_cli.errors import RunFolderError, UsageError
from api_cli.masking import MaskSettings
from api_cli.model_card import ModelCard
from api_cli.pipeline import MAPS_SUFFIX, Job, Variant, default_num_workers
from api_cli.relevance import Checkpoint
from api_cli.run_folder import RunFolder, digest_question
from datasets_manager import Dataset, Sample


class Setting(NamedTuple):
    """One combination of the values asked for, and its run folder's path."""

    layer: int
    mask: MaskSettings
    path: Path


def resolve_layers(layer_index: Sequence[int] | None, model: ModelCard | Checkpoint) -> list[int]:
    """Layers counted from 0, each once; the model's default one for None.

    Raises UsageError for one the model does not have.
    """
    number_of_layers = model.number_of_layers
    layer_index = (model.default_layer,) if layer_index is None else layer_index
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
    questions = {s.key: digest_question(s.question, s.hint) for s in dataset}
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
