"""From a folder of answers to scores: a sample each, failures apart and never a zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.asking.answers import AnswerSet
from api_cli.asking.question import shared_id
from api_cli.runs.ledger import Row, read_rows
from api_cli.runs.run_folder import ERRORS, MANIFEST
from api_cli.scoring.metrics import UnscorableError, Verdict

Judge = Callable[[Row, str], Verdict]
_CUT = "length"  # finish_reason of an answer that did not come to its end


class Score(NamedTuple):
    """What became of one answered question.

    Attributes:
        row: of the question, with all that the dataset knows.
        answer: the row of its answer.
        verdict: on the answer; None where it could not be given.
        error: why not.
    """

    row: Row
    answer: Row
    verdict: Verdict | None
    error: str = ""

    @property
    def truncated(self) -> bool:
        """Whether the answer was cut off for its length."""
        return bool(self.answer.get("finish_reason") == _CUT)

    @property
    def line(self) -> dict[str, Any]:
        """The row of `scores.jsonl`."""
        key = self.row["key"]
        if self.verdict is None:
            return {"key": key, "score": None, "error": self.error, "truncated": self.truncated}
        return {"key": key, **self.verdict._asdict(), "truncated": self.truncated}


def score_answers(answers: AnswerSet, judge: Judge) -> list[Score]:
    """Scores of all answers, in the questions' order. A row's fault costs that row."""
    return list(_scores(answers, judge))


def _scores(answers: AnswerSet, judge: Judge) -> Iterator[Score]:
    for key, row in answers.questions.items():
        answer = answers.answers.get(key)
        if answer is None:
            continue
        try:
            yield Score(row, answer, judge(row, str(answer.get("answer") or "")))
        except UnscorableError as error:
            yield Score(row, answer, None, str(error))


def missing_keys(answers: AnswerSet) -> list[str]:
    """Samples without an answer: of those that were asked about, and of the run's own.

    A run's samples are those in its manifest and those that failed. Rows that are images of one
    question count as that question, which stands in `id`.
    """
    run = answers.folder.parents[1]
    keys = {_question_of(row, answers.questions): None for row in answers.questions.values()}
    for name in (MANIFEST, ERRORS):
        for row in read_rows(run / name):
            keys.setdefault(_question_of(row, answers.questions))
    return [key for key in keys if key not in answers.answers]


def _question_of(row: Row, questions: Mapping[str, Row]) -> str:
    """The key of the question that a row belongs to."""
    if (shared := shared_id(row)) is not None:
        return shared
    key = str(row["key"])
    head = key.rpartition("_")[0]  # an image of several that failed: its key is all that is known
    several = row.get("question") is None and "image_number" in questions.get(head, {})
    return head if several else key


def score_file(folder: Path) -> Path:
    """Where a folder's scores stand."""
    return folder / "scores.jsonl"
