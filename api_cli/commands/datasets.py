"""`apiprompt datasets`, `datasets show` and `datasets check`."""

from __future__ import annotations

import sys

import typer

from api_cli.console import Console
from api_cli.errors import SOME_FAILED
from api_cli.options.clip import ClipConfig
from api_cli.options.config import DATA
from api_cli.options.flags import EITHER_SPELLING, flags_of

datasets = typer.Typer(
    help="List the datasets that --dataset knows; show or check one.", invoke_without_command=True
)


@datasets.callback()
def _datasets(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from api_cli.pages.datasets import list_datasets

        Console().show(list_datasets())


@datasets.command(context_settings=EITHER_SPELLING)
@flags_of(ClipConfig, panel=DATA, argument="dataset")
def show(config: ClipConfig) -> None:
    """Print samples: key, question, the image's size, and what else the dataset knows.

    Without --range: the first five.
    """
    from api_cli.pages.datasets import describe, open_samples

    samples = open_samples(config, Console(), (0, 5))
    for sample in samples:
        Console().show(describe(sample, draw=sys.stdout.isatty()))
    if not samples:
        Console().warn(f"no samples in that range of {config.dataset}")


@datasets.command(context_settings=EITHER_SPELLING)
@flags_of(ClipConfig, panel=DATA, argument="dataset")
def check(config: ClipConfig) -> None:
    """Read every sample, and say which a run could not process, and why.

    At fault is one that lacks a question or asks what is no text, has another
    one's key, stands in a row that is not as it should be, names a picture
    that is missing or does not open, or has columns that cannot be read. What
    is no sample at all is counted on stderr.

    Exit status: 0 all are well, 1 the dataset cannot be opened, 2 wrong usage,
    3 some samples are not, 130 interrupted, 143 terminated, 129 hung up.
    """
    from api_cli.pages.datasets import find_faults, open_samples

    samples = open_samples(config, Console())
    faults = 0
    for sample, fault in find_faults(samples):
        typer.echo(f"{sample.key} (sample {sample.index}): {fault}")
        faults += 1
    if faults:
        Console().error(f"{faults} of {len(samples)} samples are not as they should be")
        raise typer.Exit(SOME_FAILED)
    Console().say(f"{len(samples)} samples, each with a question and a picture that opens")
