"""The command line: a function a subcommand, flags from the configurations, no logic of its own.

torch, transformers and open_clip are imported by the commands that need them, so that `--help`
answers at once.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from api_cli.config import ClipConfig
from api_cli.console import Console
from api_cli.errors import ApipromptError
from api_cli.flags import EITHER_SPELLING, flags_of
from datasets_manager import DatasetError, available_datasets

if TYPE_CHECKING:
    from api_cli.run import Outcome

_SOME_FAILED = 3

app = typer.Typer(
    name="apiprompt",
    help="Attention prompting on images: fade what does not matter for a question, and ask any "
    "vision-language model about the rest.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command(context_settings=EITHER_SPELLING)
@flags_of(ClipConfig)
def clip(config: ClipConfig) -> None:
    """Mask a dataset's images by what CLIP finds relevant to their questions.

    Without any flag: the demo model on the demo set.

    Every flag is also a variable, APIPROMPT_<FLAG>, and a key of --config's
    YAML; flags win, then the environment, then YAML. Where several values may
    be given, as in 1,5,10, every combination is made, from one forward pass
    an image. Run folders are printed on stdout, one a line.

    Exit status: 0 done, 1 fatal, 2 wrong usage, 3 some samples failed (see
    errors.jsonl in the run folder), 130 interrupted.
    """
    console = Console(quiet=config.quiet)
    if config.dataset == "demo" and config.model == "demo":
        console.say("demo: the small demo model on the demo set; real work wants --dataset NAME")
    from api_cli.run import run_clip

    _finish(run_clip(config, console), console)


@app.command()
def datasets() -> None:
    """List the datasets that --dataset knows."""
    from rich.table import Table

    table = Table("name", "about", "licence", "home", box=None, header_style="bold")
    for info in available_datasets():
        table.add_row(info.name, info.about, info.licence, info.home)
    Console().show(table)


@app.callback(invoke_without_command=True)
def _main(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if show_version:
        typer.echo(f"apiprompt {version('apiprompt')}")
        raise typer.Exit


def main() -> None:
    """The console script: what a user can mend becomes one line and an exit status."""
    try:
        app()
    except ApipromptError as error:
        Console().error(str(error))
        sys.exit(error.exit_status)
    except (DatasetError, OSError) as error:
        Console().error(str(error))
        sys.exit(ApipromptError.exit_status)


def _finish(outcome: Outcome, console: Console) -> None:
    """Say how it went, print the run folders on stdout, and exit with the right status."""
    for folder in outcome.folders:
        typer.echo(folder)
    report = outcome.report
    if report is None:
        return
    console.say(
        f"{report.finished} samples finished; the time: {report.seconds_model:.1f} s in the model, "
        f"{report.seconds_reading:.1f} s waiting for pictures, "
        f"{report.seconds_writing:.1f} s waiting for results to be written"
    )
    if report.flat:
        console.warn(f"{report.flat} images came out unchanged: their maps were flat")
    if report.failed:
        console.error(
            f"{report.failed} samples failed; errors.jsonl in the run folder says why, "
            "and the same command tries them again"
        )
        raise typer.Exit(_SOME_FAILED)
