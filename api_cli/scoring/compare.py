"""`apiprompt compare`: settings that differ in the picture alone, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from api_cli.asking.answers import read_answers
from api_cli.console import Console
from api_cli.errors import ApipromptError, UsageError
from api_cli.options.compare import CompareConfig
from api_cli.scoring.columns import Column, differing, read_column
from api_cli.scoring.comparison import (
    SMALLEST_GROUP,
    Group,
    Shared,
    best_on_half,
    compare_groups,
    group_sizes,
    share,
)
from api_cli.scoring.folders import find_answers, is_plain, labels
from api_cli.scoring.scale import scale_of


class CompareError(ApipromptError):
    """Answers that do not make a pair."""


class Comparison(NamedTuple):
    """What settings come to against their baseline.

    Attributes:
        same: what is the same in all: dataset, metric, model, prompt, ...
        baseline: its label.
        groups: all samples first, then the groups that were asked for.
        notes: what a reader has to know beside the numbers.
        chosen: label of the setting that was chosen on the other half; empty where none was.
    """

    same: dict[str, Any]
    baseline: str
    groups: list[Group]
    notes: list[str]
    chosen: str


def compare(config: CompareConfig, console: Console) -> Comparison:
    """Score what is meant, hold it against the plain answers or else the first, and test it.

    Raises:
        ApipromptError: where there is nothing to compare, or settings differ in more than the
            picture.
    """
    folders = find_answers(config.folders, config.model, config.prompt)
    if len(folders) < 2:
        raise UsageError(
            f"only {folders[0]} to compare; name two or more: the originals' answers "
            "(`apiprompt ask --plain`) and those about masked pictures"
        )
    named = list(zip(folders, labels(folders), strict=True))
    named.sort(key=lambda item: not is_plain(item[0]))  # the others keep their order
    columns = []
    for folder, _ in named:
        answers = read_answers(folder)
        scale = scale_of(answers, config.metric, config.judge_model)
        columns.append(read_column(answers, scale, config.by))
    names = [label for _, label in named]
    _refuse_unlike(columns, names)
    shared = share(columns, names)
    if not len(shared.scores):
        raise CompareError(f"{' and '.join(names)} have no scored sample in common")
    notes = _lacking(columns, names, len(shared.scores))
    chosen = ""
    number = len(names) - 1
    candidates = [n for n in range(1, number + 1) if not columns[n].is_control]
    if config.select_on == "half":
        shared, chosen = _select(shared, candidates, notes)
    elif len(candidates) > 1:
        console.warn(
            f"the best of {len(candidates)} settings, chosen on the samples it is reported on, "
            "looks better than it is; --select-on half chooses on one half of the pictures and "
            "reports on the other"
        )
    sizes = group_sizes(shared)
    large = [name for name, size in sizes.items() if size >= SMALLEST_GROUP]
    small = [f"{name} ({size})" for name, size in sizes.items() if size < SMALLEST_GROUP]
    if small:
        notes.append(f"groups of less than {SMALLEST_GROUP} samples left out: {', '.join(small)}")
    if config.by is not None and not sizes:
        console.warn(f"--by {config.by}: no sample has such a group")
    groups = compare_groups(shared, ["", *large], resamples=config.resamples, seed=config.seed)
    if groups[0].pictures < groups[0].samples and groups[0].effects[0].p is not None:
        notes.append("p takes the questions of one picture for independent, the interval does not")
    return Comparison(dict(columns[0].same), names[0], groups, notes, chosen)


def _refuse_unlike(columns: Sequence[Column], names: Sequence[str]) -> None:
    """Raise CompareError where a setting differs from the baseline in more than the picture."""
    base = columns[0]
    shows_answer = "{answer}" in str(base.same.get("prompt's text"))  # a first round's own
    for column, name in zip(columns[1:], names[1:], strict=True):
        unlike = differing(base, column)
        texts = dict(zip(base.keys, base.texts, strict=True))
        others = [
            key
            for key, text in zip(column.keys, column.texts, strict=True)
            if texts.get(key, text) != text
        ]
        if others and not unlike and not shows_answer:
            unlike = [f"the text sent is another for {len(others)} samples ({others[0]} first)"]
        if unlike:
            raise CompareError(
                f"{name} differs from {names[0]} in more than the picture: {'; '.join(unlike)}. "
                "Ask both alike, or pick the answers that are with --model, --prompt or by folder"
            )


def _lacking(columns: Sequence[Column], names: Sequence[str], shared: int) -> list[str]:
    """Says how many samples are not compared, and where they lack."""
    everything = set().union(*(column.keys for column in columns))
    samples = max(len(everything), max(column.samples for column in columns))
    if samples == shared:
        return []
    parts = [
        f"{name} lacks {samples - len(column.keys)}"
        for column, name in zip(columns, names, strict=True)
        if len(column.keys) < samples
    ]
    return [f"{samples - shared} of {samples} samples dropped: {', '.join(parts)}"]


def _select(shared: Shared, candidates: Sequence[int], notes: list[str]) -> tuple[Shared, str]:
    """The baseline and the setting that is best on one half of the pictures, on the other half.

    Raises:
        CompareError: where there is nothing to choose from.
    """
    first = int(shared.halves.sum())
    if not 0 < first < len(shared.halves) or not candidates:
        raise CompareError(
            "--select-on half: nothing to choose; it needs a setting beside the baseline and "
            f"samples in both halves (there are {first} and {len(shared.halves) - first})"
        )
    best = best_on_half(shared, candidates)
    label = shared.labels[best]
    means = shared.scores[shared.halves].mean(axis=0)
    notes.append(
        f"{label} was chosen as the best of {len(candidates)} on {first} samples "
        f"({100 * (means[best] - means[0]):+.1f} there), and is reported on the other "
        f"{len(shared.halves) - first}"
    )
    return shared.where(~shared.halves).settings([best]), label
