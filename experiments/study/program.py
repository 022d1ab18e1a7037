"""The program's own commands, run in this process so that torch is imported once."""

from __future__ import annotations

import io
import shlex
import sys
from contextlib import redirect_stdout

import typer.main

from api_cli.cli import app
from api_cli.errors import ApipromptError


def line(*words: object) -> str:
    """A command as a shell takes it."""
    return shlex.join(["apiprompt", *map(str, words)])


def apiprompt(*words: object) -> list[str]:
    """Run a command and say it on stderr; the lines that it prints on stdout.

    Raises:
        ApipromptError, DatasetError: as the command does, and where some samples failed.
    """
    print(f"$ {line(*words)}", file=sys.stderr, flush=True)
    printed = io.TextIOWrapper(io.BytesIO(), "utf-8")  # paths are written as bytes
    with redirect_stdout(printed):
        status = typer.main.get_command(app)(args=list(map(str, words)), standalone_mode=False)
    if isinstance(status, int) and status != 0:
        raise ApipromptError(f"{line(*words)} ended with status {status}")
    printed.seek(0)
    return printed.read().splitlines()
