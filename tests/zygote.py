"""The program as real processes that start at once: forked off one that has imported everything.

For tests that start it dozens of times to kill it. Importing torch takes most of a short run.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_CONTEXT = get_context("forkserver")
_PRELOADED = [
    "tests.zygote",
    "api_cli.cli",
    "api_cli.relevance.clip.model",
    "api_cli.relevance.llava.model",
]


def start(
    arguments: Sequence[object],
    folder: Path,
    log: Path,
    environment: Mapping[str, str],
    out: Path | None = None,
) -> ForkServerProcess:
    """Start `apiprompt` with these arguments.

    Args:
        arguments: of the command line.
        folder: to start it in.
        log: what it says on stderr and stdout is appended to this file.
        environment: variables beside those of this process.
        out: a file of its own for stdout.
    """
    _CONTEXT.set_forkserver_preload(_PRELOADED)
    words = tuple(map(str, arguments))
    process = _CONTEXT.Process(target=_main, args=(words, folder, log, dict(environment), out))
    process.start()
    return process


def _main(
    arguments: tuple[str, ...],
    folder: Path,
    log: Path,
    environment: dict[str, str],
    out: Path | None,
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)
    os.chdir(folder)
    with log.open("ab") as err, (out or log).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(err.fileno(), 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["apiprompt", *arguments]
    from api_cli.cli import main

    main()
