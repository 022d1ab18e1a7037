"""What a run has to do: the settings asked for, their folders, and the samples they lack."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from typing import Any, NamedTuple

from api_cli.console import Console
from api_cli.errors import RunFolderError
from api_cli.options.launch import default_num_workers
from api_cli.options.run import RunConfig
from api_cli.runs.columns import text
from api_cli.runs.endings import SOURCE
from api_cli.runs.jobs import Job, Variant
from api_cli.runs.names import SampleNames, digest_question
from api_cli.runs.presence import require_no_run
from api_cli.runs.rendering import MAPS_SUFFIX
from api_cli.runs.run_folder import RunFolder
from api_cli.runs.settings import Setting
from api_cli.runs.sink import Finished
from datasets_manager import Dataset, Sample

_AT_ONCE = 256  # stamps that a thread finds out, so that handing over costs little


class Opened(NamedTuple):
    """A setting whose place is open: to write to, and to ask what is there already."""

    variant: Variant
    finished: Finished


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
            require_no_run(setting.path, "what it holds cannot be replaced")
    names = names_of(dataset, config.format)
    for note in names.notes():
        say(note)
    pictures = {"format": config.format}
    if config.format != "png":
        pictures["quality"] = config.quality  # type: ignore[assignment]
    opened = []
    for reads, mask, path, values in settings:
        alone: dict[str, Any] = {name: (value,) for name, value in values.items()}
        alone["relative_to"] = config.relative_to
        this_one = replace(config, overwrite=False, verify=False, **alone)
        folder = RunFolder(
            path,
            {**determining, **values, **pictures},
            {
                "config": this_one.to_dict(),
                "versions": _versions(),
                "made": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            image_format=config.format,
            names=names,
            overwrite=config.overwrite,
        )
        opened.append(Opened(Variant(reads, mask, folder), folder))
    return opened


def names_of(dataset: Dataset, image_format: str) -> SampleNames:
    """The names of a dataset's samples' files: by their keys, or with "source" by their own."""
    sources = None
    if image_format == SOURCE:  # what is at fault has no picture
        sources = {sample.key: sample.source_name for sample in dataset if sample.fault is None}
    return SampleNames((sample.key for sample in dataset), sources)


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

    def is_missing(key: str, there: Finished) -> bool:
        return key not in there or (save_maps and not there.has_beside(key, MAPS_SUFFIX))

    jobs, finished = [], []
    for sample in samples:
        missing = tuple(v for v, there in opened if is_missing(sample.key, there))
        if missing:
            jobs.append(Job(sample, missing))
        if len(missing) < len(opened):
            finished.append(sample)
    _check_pictures(dataset, finished, [there for _, there in opened], verify)
    if jobs and len(jobs) < len(samples):
        console.say(f"{len(samples) - len(jobs)} of {len(samples)} samples are finished already")
    return jobs


def _check_questions(dataset: Dataset, folders: Sequence[Finished]) -> None:
    """Raise RunFolderError where a finished sample has another question, or is of another set."""
    found = [0] * len(folders)
    for sample in dataset:
        question = None
        for number, there in enumerate(folders):
            source = there.source(sample.key)
            if source is None:
                continue
            found[number] += 1
            if question is None:
                query = None if sample.hint is None else text(sample.hint)
                question = digest_question(text(sample.question), query)
            if source.question != question:
                raise _other_content(
                    there, f"its sample {sample.key!r} has another question", dataset
                )
    for there, number in zip(folders, found, strict=True):
        if number < len(there):
            known = {text(sample.key) for sample in dataset}
            stray = next(key for key in there if key not in known)
            raise _other_content(there, f"its sample {stray!r} is not in the dataset", dataset)


def _check_pictures(
    dataset: Dataset, finished: Sequence[Sample], folders: Sequence[Finished], verify: bool
) -> None:
    """Raise RunFolderError where a finished sample's picture is another one now.

    Pictures are read only where their stamps do not tell.
    """
    groups = [finished[start : start + _AT_ONCE] for start in range(0, len(finished), _AT_ONCE)]
    with ThreadPoolExecutor(default_num_workers("auto")) as pool:
        stamps = [stamp for group in pool.map(_stamps, groups) for stamp in group]
        unsure = [
            (sample, stamp)
            for sample, stamp in zip(finished, stamps, strict=True)
            if verify or not all(t.knows(sample.key, stamp) for t in folders if sample.key in t)
        ]
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
    return [sample.stamp for sample in samples]


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
