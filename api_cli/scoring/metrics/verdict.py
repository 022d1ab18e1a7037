"""What a metric is: a function from a sample's row and an answer to a verdict, and its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from api_cli.runs.columns import unfold

Row = Mapping[str, Any]
_LARGEST_EXACT = 2**53  # integer, as a float


class UnscorableError(ValueError):
    """A row that lacks what its metric needs, such as the right answer; costs that row alone."""


class Verdict(NamedTuple):
    """What a metric makes of an answer.

    Attributes:
        score: from 0 to 1.
        parsed: what the answer was taken for, as it was compared.
        unparsed: whether the answer was none of those that the metric can tell apart; such an
            answer counts as its rule says, never by chance.
    """

    score: float
    parsed: Any
    unparsed: bool = False


class Scored(NamedTuple):
    """A sample with its verdict, as figures are made from.

    Attributes:
        row: of the sample, from the run's manifest.
        verdict: on the answer to it.
    """

    row: Row
    verdict: Verdict


Figures = dict[str, float]


class Metric(NamedTuple):
    """A rule of scoring.

    Attributes:
        about: which published variant it is, in a line; stands in each summary.
        rule: from a sample's row and an answer to a verdict.
        figures: published numbers of a whole set, the headline first.
        groups: categories that a row belongs to.
    """

    about: str
    rule: Callable[[Row, str], Verdict]
    figures: Callable[[Sequence[Scored]], Figures]
    groups: Callable[[Row], Iterable[str]]


def accuracy(scored: Sequence[Scored]) -> Figures:
    """The mean score, from 0 to 100; of no samples there is none."""
    if not scored:
        return {}
    return {"accuracy": 100 * sum(one.verdict.score for one in scored) / len(scored)}


def category(row: Row) -> Iterable[str]:
    """The row's `category`, where it has one."""
    value = row.get("category")
    return () if value is None or value == "" else (str(value),)


def right_answers(row: Row) -> list[str]:
    """Texts in `answers` (texts, or objects with an `answer`), else the one in `answer`.

    Raises:
        UnscorableError: where there is neither.
    """
    answers = unfold(row.get("answers"))
    if answers is None or answers == []:
        answers = [row.get("answer")]
    if not isinstance(answers, list):
        answers = [answers]
    texts = [_within(one) for one in answers]
    if any(text is None or isinstance(text, Mapping | list) for text in texts):
        raise UnscorableError("no 'answer' and no list of 'answers' in the sample's row")
    return [_as_text(text) for text in texts]


def _within(answer: Any) -> Any:
    """The `answer` of an object; other answers as they are, be they texts with brackets."""
    opened = unfold(answer)
    return opened.get("answer") if isinstance(opened, Mapping) else answer


def _as_text(value: Any) -> str:
    """A value as text: 7 also where it is 7.0, as a manifest has it whose column holds 2.5 too."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT
    return str(int(value) if whole else value)
