"""What a folder's scores come to: `summary.json`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from api_cli.runs.ledger import Row
from api_cli.scoring.metrics import Figures, Scored
from api_cli.scoring.scores import Score

_PLACES = 4


class Summary(NamedTuple):
    """Numbers of samples, and figures of those that are scored.

    Attributes:
        n: samples that there are: scored, failed and missing.
        missing: without an answer.
        failed: answered, but not scored.
        unparsed: scored, but the answer was nothing that the metric can tell apart.
        truncated: answered, but cut off for its length.
        figures: the metric's, the headline first.
        by_category: of each category its number of scored samples, `n`, and its figures.
    """

    n: int
    missing: int
    failed: int
    unparsed: int
    truncated: int
    figures: Figures
    by_category: dict[str, dict[str, Any]]

    @property
    def whole(self) -> bool:
        """Whether every sample is scored."""
        return not (self.missing or self.failed)

    @property
    def incomplete(self) -> str:
        """What is not scored, for messages; empty where all is."""
        parts = ((self.missing, "without an answer"), (self.failed, "not scored"))
        lacking = [f"{number} {what}" for number, what in parts if number]
        return f"of {self.n} samples {' and '.join(lacking)}" if lacking else ""

    def content(self) -> dict[str, Any]:
        """What `summary.json` says; where samples lack, that is said first."""
        partial = {} if self.whole else {"partial": self.incomplete}
        figures = {name: round(value, _PLACES) for name, value in self.figures.items()}
        return partial | self._asdict() | {"figures": figures}


def summarise(
    scores: Sequence[Score],
    missing: int,
    figures: Callable[[Sequence[Scored]], Figures],
    groups: Callable[[Row], Iterable[str]],
) -> Summary:
    """Count samples, and make a metric's figures of those that are scored.

    Args:
        scores: of all that was answered.
        missing: number of samples without an answer.
        figures: the metric's.
        groups: categories of a sample.
    """
    scored = [Scored(one.row, one.verdict) for one in scores if one.verdict is not None]
    by_category: dict[str, list[Scored]] = defaultdict(list)
    for sample in scored:
        for name in groups(sample.row):
            by_category[name].append(sample)
    return Summary(
        n=len(scores) + missing,
        missing=missing,
        failed=len(scores) - len(scored),
        unparsed=sum(sample.verdict.unparsed for sample in scored),
        truncated=sum(one.truncated for one in scores),
        figures=figures(scored),
        by_category={
            name: {"n": len(some)}
            | {figure: round(value, _PLACES) for figure, value in figures(some).items()}
            for name, some in sorted(by_category.items())
        },
    )
