"""What the subcommands that make masked pictures do alike."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from api_cli.console import Console
from api_cli.errors import SOME_FAILED
from api_cli.options.launch import Launch
from api_cli.options.run import RunConfig

if TYPE_CHECKING:
    from api_cli.runs.outcome import Outcome


def mask(config: RunConfig) -> None:
    """Run, say how it went, print what was made on stdout, and exit with the right status."""
    from api_cli.runs.run import run

    launch = Launch() if config.pictures else Launch.read()  # each process does all of them
    console = Console(quiet=config.quiet or not launch.is_first)
    if config.dataset == "demo" and config.model == "demo" and not config.pictures:
        console.say("demo: the small demo model on the demo set; real work wants --dataset NAME")
    _finish(config, run(config, console, launch), console, launch)


def _finish(config: RunConfig, outcome: Outcome, console: Console, launch: Launch) -> None:
    if launch.is_first:
        for folder in outcome.folders:
            typer.echo(os.fsencode(folder))  # as the file system spells it, whatever the locale
    report = outcome.report
    if report is None:
        return
    if not config.pictures:
        console.say(
            f"{report.finished} samples finished; the time: {report.seconds_model:.1f} s in the "
            "model, "
            f"{report.seconds_reading:.1f} s waiting for pictures, "
            f"{report.seconds_writing:.1f} s waiting for results to be written"
        )
    if report.flat:
        console.warn(f"{report.flat} images came out unchanged: their maps were flat")
    if report.cut:
        console.warn(
            f"{report.cut} questions are longer than the model's context and were cut; their rows "
            "say question_cut"
        )
    if report.failed:
        console.error(
            f"{report.failed} of {len(config.pictures)} pictures failed"
            if config.pictures
            else f"{report.failed} samples failed; errors.jsonl in the run folder says why, "
            "and the same command tries them again"
        )
        # a launcher would take another status for a crash, and end the other processes
        if launch.world_size == 1:
            raise typer.Exit(SOME_FAILED)
