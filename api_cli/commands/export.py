"""`apiprompt export`."""

from __future__ import annotations

import typer

from api_cli.console import Console
from api_cli.options.export import ExportConfig
from api_cli.options.flags import flags_of


@flags_of(ExportConfig, argument="folders")
def export(config: ExportConfig) -> None:
    """Write answers or masked pictures as other tools take them.

    Answers go to a set's own evaluator, pictures to a harness that asks and
    scores by itself. The files to hand over are printed on stdout, one a line.

    Exit status: 0 done, 1 fatal (an answer is missing, ...), 2 wrong usage.
    """
    from api_cli.scoring.export import export

    for path in export(config, Console(quiet=config.quiet)):
        typer.echo(path)
