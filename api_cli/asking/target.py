"""Whose pictures are asked about, and where the answers go: runs, and the originals beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from api_cli.asking.answers import FOLDER, digest8
from api_cli.asking.question import Question, Source, of_run, of_samples
from api_cli.asking.sending import Encoding
from api_cli.asking.template import ORIGINAL
from api_cli.errors import RunFolderError, UsageError
from api_cli.options.ask import AskConfig
from api_cli.options.data import DataConfig
from api_cli.options.option import parse_all, plain
from api_cli.runs.ledger import Row
from api_cli.runs.names import safe_name
from api_cli.runs.record import RECORD
from datasets_manager import Dataset, get_dataset

Questions = Callable[[], Iterator[tuple[Question, Row]]]


class Target(NamedTuple):
    """One kind of pictures that are asked about.

    Attributes:
        home: the run folder, or that of the originals.
        about: what the pictures are, for ask.yaml.
        questions: all there are, with their rows; may be gone through again.
        encoding: how the pictures are written before they are sent; None for as they are.
        originals: of a key, for prompts that show them as well; None where the pictures are
            originals themselves.
        originals_encoding: how those are written.
    """

    home: Path
    about: dict[str, Any]
    questions: Questions
    encoding: Encoding | None
    originals: Callable[[str], tuple[Source, ...]] | None
    originals_encoding: Encoding

    @property
    def answers(self) -> Path:
        """Where its folders of answers are."""
        return self.home / FOLDER

    def pictures(
        self, question: Question, images: Iterable[str]
    ) -> Iterator[tuple[Source, Encoding | None]]:
        """What is sent of a question, in order, each with how it is written.

        Where the template shows originals, those that a run put before its own pictures do not
        count among these.

        Args:
            question: one of this target's.
            images: of the prompt's template.
        """
        shown = [*images]
        for image in shown:
            if image == ORIGINAL and self.originals is not None:
                for source in self.originals(question.key):
                    yield source, self.originals_encoding
            else:
                for source in question.pictures:
                    if not (source.is_original and ORIGINAL in shown):
                        yield source, self.encoding


def find_targets(config: AskConfig, say: Callable[[str], None] = lambda line: None) -> list[Target]:
    """What the configuration asks about.

    Args:
        config: of the command.
        say: takes what a dataset leaves out, where no run has said it.

    Raises:
        ApipromptError, DatasetError: where a run or the dataset is not as it should be.
    """
    forced = None if config.image_format == "as-is" else Encoding.of(config.image_format)
    if not config.runs:
        return [_originals(config, config.output_folder, forced or Encoding(), None, say)]
    targets: list[Target] = []
    keys_of: dict[tuple[DataConfig, Path, Encoding], set[str]] = {}
    for run in find_runs(config.runs):
        record = _read_record(run)
        data = _data_of(run, record, config)
        encoding = Encoding.of_run(record["settings"])
        about = {"pictures": "masked", "run": run.name, **record["settings"]}
        questions, originals = partial(of_run, run), _Originals(data)
        targets.append(Target(run, about, questions, forced, originals, forced or encoding))
        if config.plain:
            keys = {question.key for question, _ in of_run(run)}
            keys_of.setdefault((data, run.parent.parent, forced or encoding), set()).update(keys)
    return targets + [_originals(*where, keys) for where, keys in keys_of.items()]


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """Run folders among these, and those below the others, each once. Raises RunFolderError."""
    runs = []
    for path in paths:
        below = [path / RECORD] if (path / RECORD).is_file() else sorted(path.rglob(RECORD))
        if not below:
            raise RunFolderError(
                f"{path}: no run folder, nor one below it (none has a {RECORD}); `apiprompt clip` "
                "and `apiprompt llava` make them and print their paths"
            )
        runs += [record.parent for record in below]
    return list(dict.fromkeys(runs))


def _originals(
    data: DataConfig,
    output_folder: Path,
    encoding: Encoding,
    keys: set[str] | None,
    say: Callable[[str], None] = lambda line: None,
) -> Target:
    """The originals of a dataset; of these keys alone, where they are given."""
    opened: list[Dataset] = []

    def questions() -> Iterator[tuple[Question, Row]]:
        if not opened:
            opened.append(_open(data))
            for note in opened[0].notes:
                say(note)
        for question, row in of_samples(opened[0]):
            if keys is None or question.key in keys:
                yield question, row

    options = data.dataset_options
    chosen = {f.name: getattr(options, f.name) for f in fields(options)}
    about = {
        "dataset": data.dataset,
        # seen from there, so that a project may be moved as a whole
        "data_root": os.path.relpath(data.data_root, output_folder),
        **{name: plain(value) for name, value in chosen.items() if value != _default(name)},
        **{name: value for name, value in encoding._asdict().items() if value is not None},
    }
    home = output_folder / f"PLAIN_{safe_name(data.dataset)}-{digest8(about)}"
    return Target(home, {"pictures": "original", **about}, questions, encoding, None, encoding)


class _Originals:
    """The original pictures of a run's questions by key; the dataset is opened by the first."""

    def __init__(self, data: DataConfig) -> None:
        self._data = data
        self._found: Mapping[str, tuple[Source, ...]] | None = None

    def __call__(self, key: str) -> tuple[Source, ...]:
        if self._found is None:
            questions = of_samples(_open(self._data))
            self._found = {question.key: question.pictures for question, _ in questions}
        try:
            return self._found[key]
        except KeyError:
            raise LookupError(f"{key!r} is not in the dataset that the run was made of") from None


def _read_record(run: Path) -> dict[str, Any]:
    path = run / RECORD
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
        dict(record["settings"]), dict(record["config"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError):
        raise RunFolderError(
            f"{path} is not a record of a run; make the run again, with --overwrite"
        ) from None
    return dict(record)


def _data_of(run: Path, record: Mapping[str, Any], config: AskConfig) -> DataConfig:
    """How the run's dataset is opened; --data-root says where it has moved to."""
    options = DataConfig.options()
    options.pop("range")  # which samples a run has, its manifest says
    known = {name: value for name, value in record["config"].items() if name in options}
    data = DataConfig(**parse_all(options, known, lambda name: f"{run / RECORD}: {name}"))
    given = {
        name: getattr(config, name) for name in options if getattr(config, name) != _default(name)
    }
    if (root := given.pop("data_root", None)) is not None:
        data = replace(data, data_root=root)
    for name, value in given.items():
        if getattr(data, name) != value:
            raise UsageError(
                f"--{name.replace('_', '-')} does not go with run folders: {run} was made of "
                f"--dataset {data.dataset} and says itself how that is opened"
            )
    return data


def _open(data: DataConfig) -> Dataset:
    return get_dataset(data.dataset, data.data_root, data.dataset_options)


def _default(name: str) -> Any:
    return getattr(DataConfig(), name)
