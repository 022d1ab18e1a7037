"""`apiprompt maps`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api_cli.console import Console


def maps(
    output_folder: Annotated[
        Path, typer.Option(help="Folder in which run folders are made.")
    ] = Path("experiments"),
    prune: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME|all", help="Delete the maps of that name; may be repeated."),
    ] = None,
) -> None:
    """Show the relevance maps that are kept, and how much room they take."""
    from api_cli.pages.maps import show_maps

    Console().show(show_maps(output_folder, prune or ()))
