"""The command line: puts the subcommands of `commands/` together.

torch, transformers and open_clip are imported by what needs them, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from api_cli.commands.ask import ask
from api_cli.commands.clip import clip
from api_cli.commands.compare import compare
from api_cli.commands.datasets import datasets
from api_cli.commands.export import export
from api_cli.commands.llava import llava
from api_cli.commands.maps import maps
from api_cli.commands.profile import profile
from api_cli.commands.score import score
from api_cli.commands.show import show
from api_cli.commands.web import web
from api_cli.console import Console, keep_streams
from api_cli.errors import ApipromptError, Interrupted, explain
from api_cli.options.flags import EITHER_SPELLING
from api_cli.signals import raise_on_signals
from datasets_manager import DatasetError

app = typer.Typer(
    name="apiprompt",
    help="Attention prompting on images: fade what does not matter for a question, and ask any "
    "vision-language model about the rest.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command(context_settings=EITHER_SPELLING)(clip)
app.command(context_settings=EITHER_SPELLING)(llava)
app.command("vlm", context_settings=EITHER_SPELLING, hidden=True)(llava)
app.command(context_settings=EITHER_SPELLING)(ask)
app.command(context_settings=EITHER_SPELLING)(score)
app.command(context_settings=EITHER_SPELLING)(compare)
app.command(context_settings=EITHER_SPELLING)(export)
app.command(context_settings=EITHER_SPELLING)(show)
app.add_typer(profile, name="profile")
app.add_typer(datasets, name="datasets")
app.command(context_settings=EITHER_SPELLING)(maps)
app.command(context_settings=EITHER_SPELLING)(web)


@app.callback(invoke_without_command=True)
def _main(
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if show_version:
        typer.echo(f"apiprompt {version('apiprompt')}")
        raise typer.Exit


def main() -> None:
    """The console script: whatever ends a command becomes one line and an exit status.

    Under `python -X dev` what was not foreseen is shown with its traceback.
    """
    keep_streams()
    raise_on_signals()
    try:
        app()
    except KeyboardInterrupt as error:
        _end(Interrupted(*error.args[:1]))
    except Interrupted as error:
        _end(error)
    except ApipromptError as error:
        _fail(str(error), error.exit_status)
    except DatasetError as error:
        _fail(str(error), ApipromptError.exit_status)
    except Exception as error:
        if sys.flags.dev_mode:
            raise
        _fail(explain(error), ApipromptError.exit_status)


def _fail(message: str, status: int) -> NoReturn:
    """End with one line. A stdout that takes nothing must not change the status at the very end."""
    Console().error(message)
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            sys.stdout = None
    sys.exit(status)


def _end(interrupted: Interrupted) -> None:
    """End without waiting for threads, which may be loading a model for minutes yet."""
    Console().error(str(interrupted))
    sys.stdout.flush()
    os._exit(interrupted.exit_status)
