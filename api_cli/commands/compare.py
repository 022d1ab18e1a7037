"""`apiprompt compare`."""

from __future__ import annotations

from api_cli.console import Console
from api_cli.options.compare import CompareConfig
from api_cli.options.flags import flags_of


@flags_of(CompareConfig, argument="folders")
def compare(config: CompareConfig) -> None:
    """Compare answers about masked pictures with those about the originals.

    Settings are held against the plain answers, or where there are none
    against the first, on the samples that all share: mean scores, paired
    differences with a bootstrap interval clustered by picture, samples won and
    lost, and for scores of 0 and 1 McNemar's exact test. Answers that differ
    in more than the picture are refused.

    Exit status: 0 done, 1 they make no pair, 2 wrong usage.
    """
    from api_cli.scoring.compare import compare
    from api_cli.scoring.comparison_table import comparison_table
    from api_cli.scoring.tables import show

    console = Console(quiet=config.quiet)
    show(comparison_table(compare(config, console)), config.table, console)
