"""What `apiprompt compare` can be told."""

from __future__ import annotations

from dataclasses import dataclass

from api_cli.options import parsers
from api_cli.options.option import option
from api_cli.options.score import SCORING, AnswersConfig


@dataclass(frozen=True, kw_only=True)
class CompareConfig(AnswersConfig):
    """Configuration of `apiprompt compare`."""

    command = "compare"

    by: str | None = option(
        SCORING,
        None,
        parsers.text,
        "category|COLUMN",
        "Compare within groups of samples as well: the metric's categories, or a column's values.",
        "none",
    )
    select_on: str | None = option(
        SCORING,
        None,
        parsers.one_of("half", "all"),
        "NAME",
        "half: choose the best setting on half of the pictures, and report it on the other half.",
        "all",
    )
    resamples: int = option(
        SCORING, 10_000, parsers.integer(100), "N", "Draws of the bootstrap intervals."
    )
    seed: int = option(SCORING, 0, parsers.integer(0), "N", "Of those draws.")
