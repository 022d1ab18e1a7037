"""By which rule answers are scored: the set's own, another metric, or a judge."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from api_cli.asking.answers import AnswerSet
from api_cli.asking.client import Server
from api_cli.errors import UsageError
from api_cli.runs.ledger import Row
from api_cli.scoring.judges import JUDGES
from api_cli.scoring.judging import Bench, judge_answers
from api_cli.scoring.metrics import METRICS, Figures, Scored
from api_cli.scoring.scores import Score, score_answers
from datasets_manager import available_datasets

AUTO = "auto"
NAMES = (*METRICS, *JUDGES)
SUMMARY = "summary.json"


class Scale(NamedTuple):
    """A rule of scoring, ready for a folder's answers.

    Attributes:
        name: of the metric.
        about: which published variant it is.
        score: gives the scores of all answers, in the questions' order.
        figures, groups: as of `Metric`.
        judge: what shapes judgements, where a judge scores; else nothing.
    """

    name: str
    about: str
    score: Callable[[AnswerSet], list[Score]]
    figures: Callable[[Sequence[Scored]], Figures]
    groups: Callable[[Row], Iterable[str]]
    judge: dict[str, Any]


def scale_of(
    answers: AnswerSet,
    metric: str,
    judge_model: str | None = None,
    server: Server | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Scale:
    """The rule for a folder's answers.

    Args:
        answers: to be scored.
        metric: one of `NAMES`, or `AUTO` for that of the dataset.
        judge_model: which judge; None for the one that judged these answers before.
        server: where it is asked; None to take what is judged already.
        say: takes lines that a user should notice.

    Raises:
        UsageError: where no metric is known for the dataset, or no judge is named.
    """
    name = metric_of(answers) if metric == AUTO else metric
    if name in METRICS:
        rule = METRICS[name]
        score = partial(score_answers, judge=rule.rule)
        return Scale(name, rule.about, score, rule.figures, rule.groups, {})
    judge = JUDGES[name]
    model = judge_model or _judge_before(answers)
    if model is None:
        raise UsageError(
            f"{answers.folder}: {name} is a judge: say which with --judge-base-url URL "
            "--judge-model NAME; any server that speaks OpenAI's chat dialect will do"
        )
    bench = Bench(judge, model)
    ask = partial(judge_answers, bench=bench, server=server, say=say)
    return Scale(name, judge.about, ask, judge.figures, judge.groups, bench.settings)


def metric_of(answers: AnswerSet) -> str:
    """The metric of the answers' dataset; `exact` for a set without, whose rows have answers.

    Raises:
        UsageError: where the dataset has none, or one that nobody knows here.
    """
    dataset = dataset_of(answers)
    known = {info.name: info.metric for info in available_datasets()}
    name = known.get(dataset, "")
    if name in NAMES:
        return name
    if name:
        raise UsageError(
            f"{dataset} names the metric {name!r}, which is not one of {', '.join(NAMES)}; "
            "name one with --metric"
        )
    if any({"answer", "answers"} & set(row) for row in answers.questions.values()):
        return "exact"
    raise UsageError(
        f"{answers.folder}: nothing to score by: {dataset or 'the dataset'} has no metric of its "
        f"own and its rows no 'answer'; name a metric with --metric ({', '.join(NAMES)})"
    )


def dataset_of(answers: AnswerSet) -> str:
    """The name of the dataset that was asked about; empty where nothing says it."""
    return str(answers.about.get("dataset") or "")


def _judge_before(answers: AnswerSet) -> str | None:
    """Who judged these answers last."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads((answers.folder / SUMMARY).read_text(encoding="utf-8"))
        return str(content["judge"]["model"])
    return None
