"""Summaries as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api_cli.scoring.score import Outcome
from api_cli.scoring.tables import Table

_SHOWN = 5  # figures of a metric; summary.json has all


def score_table(outcomes: Sequence[Outcome]) -> Table:
    """Rows a folder that was summed up; the metric's first figures in columns."""
    written = [outcome for outcome in outcomes if not outcome.refused]
    names = list(dict.fromkeys(name for one in written for name in list(_figures(one))[:_SHOWN]))
    head = ["", "metric", "n", *names, "unparsed", "truncated"]
    rows = [
        [
            one.label,
            one.scale.name,
            str(one.summary.n),
            *(f"{_figures(one)[name]:.1f}" if name in _figures(one) else "" for name in names),
            str(one.summary.unparsed),
            str(one.summary.truncated),
        ]
        for one in written
    ]
    return Table(head, rows, [_record(one) for one in written])


def _figures(outcome: Outcome) -> dict[str, float]:
    return outcome.summary.figures


def _record(outcome: Outcome) -> dict[str, Any]:
    summary = outcome.summary
    counts = {name: getattr(summary, name) for name in ("n", "missing", "failed", "unparsed")}
    return {
        "answers": outcome.label,
        "metric": outcome.scale.name,
        **counts,
        "truncated": summary.truncated,
        **summary.figures,
    }
