"""`apiprompt score`: scores and a summary beside each folder of answers."""

from __future__ import annotations

from typing import Any, NamedTuple

from api_cli.asking.answers import AnswerSet, read_answers
from api_cli.asking.client import Server
from api_cli.console import Console
from api_cli.errors import ApipromptError
from api_cli.options.score import ScoreConfig
from api_cli.scoring.files import write_json, write_rows
from api_cli.scoring.folders import find_answers, labels
from api_cli.scoring.scale import SUMMARY, Scale, scale_of
from api_cli.scoring.scores import missing_keys, score_file
from api_cli.scoring.summary import Summary, summarise


class IncompleteError(ApipromptError):
    """A summary over samples that are not all scored."""


class Outcome(NamedTuple):
    """What became of one folder.

    Attributes:
        label: a short name of it among the others.
        scale: by which it was scored.
        summary: of its scores.
        refused: whether the summary was not written, since samples lack.
    """

    label: str
    scale: Scale
    summary: Summary
    refused: bool


def score(config: ScoreConfig, console: Console) -> list[Outcome]:
    """Score every folder that is meant, write its scores, and its summary where none lacks.

    Raises:
        ApipromptError: where folders, metric or judge are not as they should be.
    """
    folders = find_answers(config.folders, config.model, config.prompt)
    server = None
    if config.judge_base_url is not None and config.judge_model is not None:
        server = Server(
            config.judge_base_url,
            config.judge_model,
            api_key_env=config.judge_api_key_env,
            concurrency=config.judge_concurrency,
        )
    outcomes = []
    for folder, label in zip(folders, labels(folders), strict=True):
        answers = read_answers(folder)
        scale = scale_of(answers, config.metric, config.judge_model, server, console.say)
        outcomes.append(_score_one(answers, label, scale, partial=config.partial))
    return outcomes


def _score_one(answers: AnswerSet, label: str, scale: Scale, *, partial: bool) -> Outcome:
    scores = scale.score(answers)
    write_rows(score_file(answers.folder), [one.line for one in scores])
    missing = missing_keys(answers)
    summary = summarise(scores, len(missing), scale.figures, scale.groups)
    path = answers.folder / SUMMARY
    refused = not (summary.whole or partial)
    if refused:
        path.unlink(missing_ok=True)  # one of earlier answers would be taken for these
    else:
        write_json(path, _content(answers, scale, summary))
    return Outcome(label, scale, summary, refused)


def _content(answers: AnswerSet, scale: Scale, summary: Summary) -> dict[str, Any]:
    """What `summary.json` says: first what lacks, then figures, then by what they were had."""
    counted = summary.content()
    partial = {"partial": counted.pop("partial")} if "partial" in counted else {}
    return {
        **partial,
        "metric": scale.name,
        "about": scale.about,
        **counted,
        "model": answers.settings.get("model"),
        "prompt": answers.record.get("prompt"),
        **({"judge": scale.judge} if scale.judge else {}),
    }
