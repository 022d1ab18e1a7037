"""`apiprompt score`."""

from __future__ import annotations

import typer

from api_cli.console import Console
from api_cli.errors import SOME_FAILED
from api_cli.options.flags import flags_of
from api_cli.options.score import ScoreConfig


@flags_of(ScoreConfig, argument="folders")
def score(config: ScoreConfig) -> None:
    """Score answers by their dataset's own metric, or by a judge.

    Scores stand beside the answers: scores.jsonl, a row an answer, and
    summary.json. What got no answer or no judgement is no zero: it stands
    apart, and a summary over such is refused without --partial.

    Exit status: 0 done, 1 fatal or a summary refused, 2 wrong usage, 3 some
    answers could not be scored, 130 interrupted, 143 terminated, 129 hung up.
    """
    from api_cli.scoring.score import IncompleteError, score
    from api_cli.scoring.score_table import score_table
    from api_cli.scoring.tables import show

    console = Console(quiet=config.quiet)
    outcomes = score(config, console)
    refused = [outcome for outcome in outcomes if outcome.refused]
    for outcome in outcomes:
        if outcome.summary.incomplete and not outcome.refused:
            line = f"partial: {outcome.label}: {outcome.summary.incomplete}"
            (typer.echo if config.table in ("auto", "md") else console.warn)(line)
    if len(refused) < len(outcomes):
        show(score_table(outcomes), config.table, console)
    if refused:
        raise IncompleteError(
            "; ".join(f"{one.label}: {one.summary.incomplete}" for one in refused)
            + ". Ask or score again what lacks, or sum up without it: --partial"
        )
    if any(outcome.summary.failed for outcome in outcomes):
        console.error("some answers could not be scored; scores.jsonl says why")
        raise typer.Exit(SOME_FAILED)
