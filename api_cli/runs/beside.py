"""Pictures named on the command line: each is masked beside itself, without any run folder.

The belt is that of runs, so pictures are the same to the byte. Maps are kept only where a store is
there already.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.launch import Launch
from api_cli.options.run import RunConfig
from api_cli.relevance.auxiliaries import auxiliary_of
from api_cli.relevance.layers import resolve_layers
from api_cli.runs.assembly import Assembly, find_card
from api_cli.runs.endings import KINDS, SOURCE, split_name, usual_ending
from api_cli.runs.files import write_whole
from api_cli.runs.jobs import Job, Report, Variant
from api_cli.runs.ledger import Row
from api_cli.runs.map_store import FOLDER
from api_cli.runs.outcome import Outcome
from api_cli.runs.pictures import head_of
from api_cli.runs.settings import Setting, list_settings
from datasets_manager import Sample
from datasets_manager.listing import MASKED, is_picture, masked_of, stem_of


class Target(NamedTuple):
    """Where what is made of a picture goes.

    Attributes:
        base: the path without its ending.
        ending: of the picture; empty for the usual one of its format.
    """

    base: Path
    ending: str

    def path(self, image: bytes, kind: str = "") -> Path:
        """A picture's, by its content; of one beside it, such as a crop, by its kind."""
        ending = self.ending or usual_ending(head_of(image).kind)
        return self.base.with_name(f"{self.base.name}{kind}.{ending}")


def mask_pictures(config: RunConfig, console: Console) -> Outcome:
    """Mask the pictures that a configuration names, and say what becomes of each.

    Raises:
        UsageError: for a folder, or a place that is not to be written to.
        ApipromptError, OSError: with a message for the user.
    """
    pictures = _to_mask(config.pictures, console)
    has_store = (config.output_folder / FOLDER).is_dir()
    config = replace(config, map_store=config.map_store and has_store)
    file = None
    if config.output is not None and len(pictures) == 1 and not config.is_sweep:
        file = _file(config.output, pictures[0], config.overwrite)
    if file is not None:
        config = replace(config, format=file.ending.lower())
    elif config.output is not None and config.output.exists() and not config.output.is_dir():
        raise UsageError(
            f"--output {config.output}: it is a file, and there are several pictures to write; "
            "name a folder"
        )
    if not any(picture.exists() for picture in pictures):  # no need to look for a model
        for picture in pictures:
            console.error(f"{picture}: no such file")
        return Outcome([], Report(failed=len(pictures)))

    auxiliary = auxiliary_of(config, console, Launch())
    card = find_card(config, auxiliary, console)
    sinks: list[Beside] = []
    variants = []
    for setting in list_settings(config, "", resolve_layers(config.layer_index, card)):
        targets = {str(pictures[0]): file} if file else _targets(config, pictures, setting)
        sinks.append(Beside(targets, console if not sinks else None))
        variants.append(Variant(setting.reads, setting.mask, sinks[-1]))
    if config.dry_run:
        for target in (t for sink in sinks for t in sink.targets.values()):
            console.say(f"would write {target.base}.{target.ending or '*'}")
        return Outcome([], None)
    if file is None and config.output is not None:
        config.output.mkdir(parents=True, exist_ok=True)
    question = config.question or ""
    jobs = [
        Job(Sample(str(picture), index, picture, question), tuple(variants))
        for index, picture in enumerate(pictures)
    ]
    report = Assembly(config, auxiliary, card, console).belt(lambda report: None).run(jobs)
    written = [path for p in pictures for sink in sinks for path in sink.written.get(str(p), ())]
    return Outcome(written, report)


class Beside:
    """A `Sink` that writes each picture to a place of its own, and keeps no rows.

    Args:
        targets: where each picture's result goes, by key.
        console: told of answers and failures; None where another one is.

    Attributes:
        targets: the same.
        written: paths of what was made of each picture, by key.
    """

    def __init__(self, targets: Mapping[str, Target], console: Console | None) -> None:
        self.targets = targets
        self.written: dict[str, list[Path]] = {}
        self._console = console

    def save_images(self, key: str, images: Mapping[str, bytes]) -> dict[str, str]:
        """Write a sample's pictures; see `Sink`."""
        paths = {}
        for column, image in images.items():
            kind = "" if column == "file_name" else f".{column.removesuffix('_file_name')}"
            paths[column] = self.targets[key].path(image, kind)
            write_whole(paths[column], image)
        self.written[key] = list(paths.values())
        return {column: path.name for column, path in paths.items()}

    def save_beside(self, key: str, suffix: str, content: bytes) -> None:
        """Write a file that belongs to a sample, such as its relevance map."""
        base = self.targets[key].base
        write_whole(base.with_name(f"{base.name}{suffix}"), content)

    def add(self, row: Row, stamp: str | None = None) -> None:
        """Say what the model answered, if it did."""
        if self._console is not None and "auxiliary_answer" in row:
            self._console.say(f"{row['key']}: {row['auxiliary_answer']}")

    def fail(self, row: Row) -> None:
        """Say why a picture failed."""
        if self._console is not None:
            self._console.error(f"{row['key']}: {row['error']}")

    def close(self) -> None:
        """There is nothing to close."""


def _to_mask(given: Sequence[Path], console: Console) -> list[Path]:
    """The pictures, each once, without what this program has made of one of the others."""
    pictures = {os.path.abspath(path): path for path in given}  # noqa: PTH100
    for path in pictures.values():
        if path.is_dir():
            raise UsageError(
                f"{path} is a folder: name pictures, or use --dataset imagefolder --data-root "
                f"{path}"
            )
    names = {*pictures, *map(stem_of, pictures)}
    own = [path for whole, path in pictures.items() if masked_of(whole) in names]
    if own:
        console.say(
            f"left out: {len(own)} results of this program ({', '.join(map(str, own[:5]))})"
        )
    return [path for path in pictures.values() if path not in own]


def _file(output: Path, picture: Path, overwrite: bool) -> Target | None:
    """The file that --output names; None where it names a folder. Raises UsageError."""
    if output.is_dir() or not output.suffix:
        return None
    ending = output.suffix.removeprefix(".")
    if ending.lower() not in KINDS:
        raise UsageError(
            f"--output {output}: its suffix says no format that is written; "
            f"those are {', '.join(KINDS)}"
        )
    if output.exists():
        if picture.exists() and output.samefile(picture):
            raise UsageError(f"--output {output}: that is the picture itself; name another file")
        if not overwrite and masked_of(output.name) is None:
            raise UsageError(
                f"--output {output}: it is there already; --overwrite replaces it (without a word "
                f"only files that are called NAME.{MASKED}.* are replaced)"
            )
    return Target(output.with_suffix(""), ending)


def _targets(config: RunConfig, pictures: Sequence[Path], setting: Setting) -> dict[str, Target]:
    """Where what is made of each picture in a setting goes. Raises UsageError where two meet."""
    label = ""
    if config.is_sweep:  # the names of the setting's run folder, and of the layer before it
        label = "." + f"{setting.path.parent.name}_{setting.path.name}".lstrip("_")
    neighbours = {picture.parent: _stems_in(picture.parent) for picture in pictures}
    targets: dict[str, Target] = {}
    taken: dict[Path, Path] = {}
    for picture in pictures:
        # with its suffix, where a picture beside it differs in that alone
        is_alone = neighbours[picture.parent][stem_of(picture.name)] <= 1
        name = stem_of(picture.name) if is_alone else picture.name
        folder = picture.parent if config.output is None else config.output
        base = folder / f"{name}.{MASKED}{label}"
        if base in taken:
            raise UsageError(
                f"{taken[base]} and {picture} would both become {base}.*; without --output each "
                "is written beside its own"
            )
        taken[base] = picture
        ending = split_name(picture.name)[1] if config.format == SOURCE else config.format
        targets[str(picture)] = Target(base, ending)
    return targets


def _stems_in(folder: Path) -> Counter[str]:
    """How many pictures of a folder have each name without suffix."""
    try:
        return Counter(stem_of(name) for name in os.listdir(folder) if is_picture(name))  # noqa: PTH208
    except OSError:
        return Counter()
