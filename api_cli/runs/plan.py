"""What a run has to do: the settings asked for, their folders, and the samples they lack."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.console import Console
from api_cli.errors import RunFolderError
from api_cli.options.launch import default_num_workers
from api_cli.options.run import RunConfig
from api_cli.runs.columns import text
from api_cli.runs.endings import SOURCE
from api_cli.runs.jobs import Job, Variant
from api_cli.runs.names import SampleNames, asked
from api_cli.runs.presence import require_no_run
from api_cli.runs.rendering import MAPS_SUFFIX
from api_cli.runs.run_folder import RunFolder
from api_cli.runs.settings import Setting
from api_cli.runs.sink import Finished
from datasets_manager import Dataset, Sample
from datasets_manager.opening import no_garbage_collection

_AT_ONCE = 2048  # stamps that a thread finds out, so that handing over costs little


class Opened(NamedTuple):
    """A setting whose place is open: to write to, and to ask what is there already."""

    variant: Variant
    finished: Finished


@no_garbage_collection()
def open_folders(
    config: RunConfig,
    settings: Sequence[Setting],
    determining: Mapping[str, Any],
    dataset: Dataset,
    say: Callable[[str], None] = lambda line: None,
) -> list[Opened]:
    """The run folders of the settings, each checked to hold nothing of other settings.

    Args:
        config: of the run.
        settings: what is read, mask parameters and paths.
        determining: what else determines the pictures.
        dataset: the whole, whose keys name the files.
        say: takes what there is to say of the files' names.
    """
    if config.overwrite:
        for setting in settings:  # before the first of them is emptied
            require_no_run(Path(setting.path), "what it holds cannot be replaced")
    names = names_of(dataset, config.format)
    for note in names.notes():
        say(note)
    pictures = picture_settings(config)
    opened = []
    for setting in settings:
        folder = RunFolder(
            Path(setting.path),
            {**determining, **setting.values, **pictures},
            record_of(config, setting),
            image_format=config.format,
            names=names,
            overwrite=config.overwrite,
        )
        opened.append(Opened(Variant(setting.reads, setting.mask, folder), folder))
    return opened


def names_of(dataset: Dataset, image_format: str) -> SampleNames:
    """The names of a dataset's samples' files: by their keys, or with "source" by their own."""
    sources = None
    if image_format == SOURCE:  # what is at fault has no picture
        sources = {sample.key: sample.source_name for sample in dataset if sample.fault is None}
    return SampleNames((sample.key for sample in dataset), sources)


def picture_settings(config: RunConfig) -> dict[str, Any]:
    """How pictures are encoded, as settings that determine them."""
    quality = {} if config.format == "png" else {"quality": config.quality}
    return {"format": config.format, **quality}


def record_of(config: RunConfig, setting: Setting) -> dict[str, Any]:
    """What `run.yaml` says beside the settings: what makes this one of them again, and with what.

    Args:
        config: of the run.
        setting: one of those that it asks for.
    """
    alone: dict[str, Any] = {name: (value,) for name, value in setting.values.items()}
    alone["relative_to"] = config.relative_to
    this_one = replace(config, overwrite=False, verify=False, retry_failed=False, **alone)
    return {
        "config": this_one.to_dict(),
        "versions": _versions(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }


@no_garbage_collection()
def pending(
    dataset: Dataset,
    samples: Sequence[Sample],
    opened: Sequence[Opened],
    console: Console,
    *,
    save_maps: bool = False,
    verify: bool = False,
) -> list[Job]:
    """Samples with the settings in which they are not finished.

    Args:
        dataset: the whole, against which the folders are checked.
        samples: those of it that are this run's.
        opened: the settings.
        console: for messages.
        save_maps: whether a sample without maps beside its image is unfinished.
        verify: whether to read finished samples' pictures also where their stamps are the same.

    Raises:
        RunFolderError: where a folder holds a sample of other content: not in the dataset, under
            another question, or made from another picture.
    """
    _check_questions(dataset, [there for _, there in opened])
    jobs, finished = [], []
    for sample in samples:
        key = sample.key
        missing = [
            variant
            for variant, there in opened
            if key not in there or (save_maps and not there.has_beside(key, MAPS_SUFFIX))
        ]
        if missing:
            jobs.append(Job(sample, tuple(missing)))
        if len(missing) < len(opened):
            finished.append(sample)
    _check_pictures(dataset, finished, [there for _, there in opened], verify)
    if jobs and len(jobs) < len(samples):
        console.say(f"{len(samples) - len(jobs)} of {len(samples)} samples are finished already")
    return jobs


def _check_questions(dataset: Dataset, folders: Sequence[Finished]) -> None:
    """Raise RunFolderError where a finished sample has another question, or is of another set."""
    for there in folders:
        found = 0
        for sample in dataset:
            source = there.source(sample.key)
            if source is None:
                continue
            found += 1
            query = None if sample.hint is None else text(sample.hint)
            if source.asked != asked(text(sample.question), query):
                what = f"its sample {sample.key!r} has another question"
                raise _other_content(there, what, dataset)
        if found < len(there):
            known = {text(sample.key) for sample in dataset}
            stray = next(key for key in there if key not in known)
            raise _other_content(there, f"its sample {stray!r} is not in the dataset", dataset)


def _check_pictures(
    dataset: Dataset, finished: Sequence[Sample], folders: Sequence[Finished], verify: bool
) -> None:
    """Raise RunFolderError where a finished sample's picture is another one now.

    Pictures are read only where their stamps do not tell.
    """

    def is_sure(sample: Sample, stamp: str | None) -> bool:
        if verify:
            return False
        for there in folders:
            if not there.knows(sample.key, stamp) and sample.key in there:
                return False
        return True

    groups = [finished[start : start + _AT_ONCE] for start in range(0, len(finished), _AT_ONCE)]
    with ThreadPoolExecutor(default_num_workers("auto")) as pool:
        stamps = [stamp for group in pool.map(_stamps, groups) for stamp in group]
        stamped = zip(finished, stamps, strict=True)
        unsure = [(sample, stamp) for sample, stamp in stamped if not is_sure(sample, stamp)]
        digests = pool.map(_image_digest, [sample for sample, _ in unsure])
        for (sample, stamp), digest in zip(unsure, digests, strict=True):
            if digest is None:
                continue
            for there in folders:
                source = there.source(sample.key)
                if source is not None and source.image != digest:
                    what = f"its sample {sample.key!r} was made from another picture"
                    raise _other_content(there, what, dataset)
                there.confirm(sample.key, stamp)


def _stamps(samples: Sequence[Sample]) -> list[str | None]:
    """Each sample's stamp; that of a file which several are about is looked at once."""
    stamps: list[str | None] = []
    for before, sample in zip([None, *samples], samples, strict=False):
        same = before is not None and sample.origin is None and sample.image is before.image
        stamps.append(stamps[-1] if same else sample.stamp)
    return stamps


def _image_digest(sample: Sample) -> str | None:
    """SHA-256 of a sample's picture; None where it cannot be read, so its result just stays."""
    try:
        return sha256(sample.read_image()).hexdigest()
    except Exception:  # whatever a dataset's own function raises
        return None


def _other_content(there: Finished, what: str, dataset: Dataset) -> RunFolderError:
    return RunFolderError(
        f"{there.title} holds results of other dataset content: {what} ({dataset.name}). "
        "Use another --output-folder, or --overwrite to replace them"
    )


def _versions() -> dict[str, str]:
    packages = ("apiprompt", "torch", "torchvision", "open_clip_torch", "transformers", "pillow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
