"""What is shown of runs: their rows and errors, sample by sample, and the answers there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.asking.answers import AnswerSet, answers_folders, read_answers
from api_cli.asking.question import shared_id
from api_cli.asking.target import chosen_options, data_of_run, find_runs, read_run_record
from api_cli.errors import UsageError
from api_cli.options.data import DataConfig
from api_cli.runs.ledger import Row, read_rows
from api_cli.runs.names import safe_name
from api_cli.runs.run_folder import ERRORS, MANIFEST
from api_cli.runs.shards.reading import Picture, shards_of
from api_cli.scoring.folders import PLAIN, labels
from api_cli.scoring.scores import score_file

_OF_PICTURES = {"pictures", "dataset", "data_root", "format", "quality"}


class GoneError(LookupError):
    """A picture that is not there; the message says why, in a few words for a page."""


class Run(NamedTuple):
    """A run folder, read; pictures are read when they are asked for.

    Attributes:
        folder: its path.
        label: a short name that tells it from the others.
        settings: all that determines its pictures.
        data: how its dataset is opened; or why that is not known.
        rows: of the manifest, by key.
        errors: rows of what failed, by key.
        pictures: of a run into shards, by key and by the manifest's column; else None.
    """

    folder: Path
    label: str
    settings: Mapping[str, Any]
    data: DataConfig | str
    rows: Mapping[str, Row]
    errors: Mapping[str, Row]
    pictures: Mapping[str, Mapping[str, Picture]] | None = None

    @property
    def dataset(self) -> str:
        """Its dataset's name."""
        return str(self.settings.get("dataset"))

    @property
    def output_folder(self) -> Path:
        """The folder in which it was made, with kept maps and the answers about originals."""
        return self.folder.parents[1]

    def columns(self, row: Row) -> list[str]:
        """The manifest's columns of pictures, `file_name` first, in which a row has one."""
        if self.pictures is not None:
            return [*self.pictures[row["key"]]]
        others = [name for name in row if name.endswith("_file_name") and row[name] is not None]
        return ["file_name", *others]

    def picture(self, row: Row, column: str) -> bytes:
        """One of a row's pictures. Raises GoneError, OSError where it cannot be had."""
        if self.pictures is not None:
            return self.pictures[row["key"]][column].read()
        return self.path_of(row[column]).read_bytes()

    def path_of(self, name: object) -> Path:
        """The path of a file that its manifest names. Raises GoneError for one elsewhere."""
        if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
            raise GoneError("the manifest names no file of the run folder")
        return self.folder / name


class Item(NamedTuple):
    """A sample as the runs have it.

    Attributes:
        dataset: name of its dataset.
        key: its key.
        rows: of the manifests, one a run; None where the run lacks it.
        errors: likewise of what failed.
    """

    dataset: str
    key: str
    rows: tuple[Row | None, ...]
    errors: tuple[Row | None, ...]

    @property
    def row(self) -> Row:
        """What is known of the sample; of one that failed everywhere its error's row."""
        return next((row for row in (*self.rows, *self.errors) if row is not None), {})

    @property
    def position(self) -> int:
        """Its place in the dataset."""
        position = self.row.get("index")
        return position if isinstance(position, int) else 0

    @property
    def asked_as(self) -> str:
        """The key of the question that answers are to, which several pictures may share."""
        return shared_id(self.row) or self.key


class Answered(NamedTuple):
    """Answers of one model, asked in one way, about one kind of pictures.

    Attributes:
        answers: the folder, read.
        scores: rows of its scores, by key.
        outdated: whether the scores are older than the answers.
    """

    answers: AnswerSet
    scores: Mapping[str, Row]
    outdated: bool

    @property
    def title(self) -> str:
        """The model, and how it was asked."""
        return f"{self.answers.settings.get('model')}, prompt {self.answers.record.get('prompt')}"


def read_runs(paths: Sequence[Path], data_root: Path | None) -> list[Run]:
    """The run folders among these, and below the others.

    Args:
        paths: as of `find_runs`.
        data_root: where the datasets' files are now; None for where they were.

    Raises:
        ApipromptError: where there are none, or one has no record of its settings.
    """
    folders = find_runs(paths)
    names = labels([folder / "answers" / "of" for folder in folders])  # which looks at the run's
    runs = []
    for folder, name in zip(folders, names, strict=True):
        record = read_run_record(folder)
        data: DataConfig | str
        try:
            data = data_of_run(folder, record)
            if data_root is not None:
                data = replace(data, data_root=data_root)
        except UsageError as error:  # of another version, or of a plug-in that is gone
            data = str(error)
        rows, failed, pictures = _read(folder, record)
        errors = {key: row for key, row in failed.items() if key not in rows}
        runs.append(Run(folder, name, dict(record["settings"]), data, rows, errors, pictures))
    return runs


class _Content(NamedTuple):
    """What a run holds: its rows, those of what failed, and the pictures of one into shards."""

    rows: dict[str, Row]
    failed: dict[str, Row]
    pictures: dict[str, dict[str, Picture]] | None


def _read(folder: Path, record: Mapping[str, Any]) -> _Content:
    shards = shards_of(folder, record)
    if shards is None:
        rows, failed = (_by_key(read_rows(folder / name)) for name in (MANIFEST, ERRORS))
        return _Content(rows, failed, None)
    found = [*shards.samples()]
    pictures = {one.row["key"]: one.pictures for one in found}
    return _Content(_by_key(one.row for one in found), _by_key(shards.failed()), pictures)


def read_items(runs: Sequence[Run], range_: tuple[int, int] | None) -> list[Item]:
    """The samples of all runs, those of one dataset together, in its order.

    Args:
        runs: to be shown beside each other.
        range_: places in the dataset, first and one past the last; None for all.
    """
    keys = {(run.dataset, key): None for run in runs for key in (*run.rows, *run.errors)}
    datasets = list(dict.fromkeys(run.dataset for run in runs))
    items = [
        Item(
            dataset,
            key,
            tuple(run.rows.get(key) if run.dataset == dataset else None for run in runs),
            tuple(run.errors.get(key) if run.dataset == dataset else None for run in runs),
        )
        for dataset, key in keys
    ]
    start, stop = range_ or (0, float("inf"))
    chosen = [item for item in items if start <= item.position < stop]
    return sorted(chosen, key=lambda item: (datasets.index(item.dataset), item.position))


def read_answered(folder: Path) -> dict[str, Answered]:
    """The answers in a run folder, by their folders' names: the same where all but pictures is."""
    found = {}
    for path in answers_folders(folder):
        answers, scores = read_answers(path), score_file(path)
        outdated = scores.is_file() and _written(scores) < _written(path / "answers.jsonl")
        found[path.name] = Answered(answers, _by_key(read_rows(scores)), outdated)
    return found


def is_plain(folder: Path) -> bool:
    """Whether a folder is none of a run but of answers about originals."""
    return folder.name.startswith(PLAIN) and bool(answers_folders(folder))


def read_plain(runs: Iterable[Run], named: Sequence[Path]) -> dict[str, dict[str, Answered]]:
    """Answers about the originals of the runs' datasets: by dataset, then as `read_answered`.

    Args:
        runs: beside which they are looked for.
        named: folders of such answers, wherever they are.
    """
    found: dict[str, dict[str, Answered]] = {}
    for run in runs:
        if isinstance(run.data, str):
            continue
        of_dataset = found.setdefault(run.dataset, {})
        pattern = f"{PLAIN}{safe_name(run.data.dataset)}-*"
        beside = sorted(run.output_folder.glob(f"{pattern}/"))
        for folder in [*(path for path in named if fnmatchcase(path.name, pattern)), *beside]:
            for name, answered in read_answered(folder).items():
                about = answered.answers.about
                chosen = {k: v for k, v in about.items() if k not in _OF_PICTURES}
                if chosen == chosen_options(run.data):
                    of_dataset.setdefault(name, answered)
    return {dataset: answered for dataset, answered in found.items() if answered}


def _by_key(given: Iterable[Row]) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for row in given:
        rows.setdefault(row["key"], row)
    return rows


def _written(path: Path) -> float:
    return path.stat().st_mtime if path.is_file() else 0.0
