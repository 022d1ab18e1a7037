"""`apiprompt show`."""

from __future__ import annotations

import typer

from api_cli.console import Console
from api_cli.options.flags import flags_of
from api_cli.options.show import ShowConfig


@flags_of(ShowConfig, argument="runs")
def show(config: ShowConfig) -> None:
    """Look at runs: originals, heat maps, masked pictures and answers on one page.

    Opens in any browser from the disk, without a network or a server. Several
    runs stand in columns, samples that were won or lost come first. What is
    gone (the dataset, kept maps) is said in its place, and so is what failed.
    The page's path is printed on stdout.

    Exit status: 0 done, 1 fatal, 2 wrong usage.
    """
    from api_cli.pages.show.show import show

    typer.echo(show(config, Console(quiet=config.quiet)))
