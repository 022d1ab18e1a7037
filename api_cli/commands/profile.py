"""`apiprompt profile clip` and `apiprompt profile llava`."""

from __future__ import annotations

import typer

from api_cli.console import Console
from api_cli.errors import SOME_FAILED
from api_cli.options.flags import EITHER_SPELLING, flags_of
from api_cli.options.profile import NO_FLAGS, ProfileClipConfig, ProfileLlavaConfig

profile = typer.Typer(
    help="Find the layers whose maps point at the evidence, on samples with boxes.",
    no_args_is_help=True,
)


@profile.command(context_settings=EITHER_SPELLING)
@flags_of(ProfileClipConfig, without=NO_FLAGS)
def clip(config: ProfileClipConfig) -> None:
    """Find the layers of a CLIP whose maps point at boxes.

    AUROC, pointing game and share of the map in the boxes, for each layer and
    for the mean of the best few, which are chosen on one half of the pictures
    and reported on the other. Ends with the --layer-index to use. Maps are kept
    and taken from where runs keep theirs; no run folder is made.

    Exit status: 0 done, 1 fatal, 2 wrong usage, 3 some samples failed.
    """
    _profile(config)


@profile.command(context_settings=EITHER_SPELLING)
@flags_of(ProfileLlavaConfig, without=NO_FLAGS)
def llava(config: ProfileLlavaConfig) -> None:
    """Find the layers of a vision-language model whose attention points at boxes.

    AUROC, pointing game and share of the map in the boxes, for each layer and
    for the mean of the best few, which are chosen on one half of the pictures
    and reported on the other. Ends with the --layer-index to use. Maps are kept
    and taken from where runs keep theirs; no run folder is made.

    Exit status: 0 done, 1 fatal, 2 wrong usage, 3 some samples failed.
    """
    _profile(config)


def _profile(config: ProfileClipConfig | ProfileLlavaConfig) -> None:
    from api_cli.profiling.profile import profile
    from api_cli.profiling.report import report

    console = Console(quiet=config.quiet)
    found = profile(config, console)
    report(found, config, console)
    if found.failures:
        raise typer.Exit(SOME_FAILED)
