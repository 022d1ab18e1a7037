"""The command line: a function a subcommand, flags from the configurations, no logic of its own.

torch, transformers and open_clip are imported by the commands that need them, so that `--help`
answers at once.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api_cli.config import DATA, ClipConfig, LlavaConfig
from api_cli.console import Console
from api_cli.errors import ApipromptError, UsageError
from api_cli.flags import EITHER_SPELLING, flags_of
from api_cli.launch import Launch
from datasets_manager import DatasetError

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
    from api_cli.run import run_clip

    launch, console = _start(config)
    _finish(run_clip(config, console, launch), console, launch)


@app.command(context_settings=EITHER_SPELLING)
@flags_of(LlavaConfig)
def llava(config: LlavaConfig) -> None:
    """Mask a dataset's images by what LLaVA looks at while it answers their questions.

    Without any flag: the demo model on the demo set. The model's own answers
    are in metadata.jsonl, as auxiliary_answer.

    Flags, variables, --config and exit status as of `apiprompt clip`.
    """
    from api_cli.run import run_llava

    launch, console = _start(config)
    _finish(run_llava(config, console, launch), console, launch)


datasets = typer.Typer(
    help="List the datasets that --dataset knows; show or check one.", invoke_without_command=True
)
app.add_typer(datasets, name="datasets")


@datasets.callback()
def _datasets(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from api_cli.dataset_views import list_datasets

        Console().show(list_datasets())


@datasets.command(context_settings=EITHER_SPELLING)
@flags_of(ClipConfig, panel=DATA, argument="dataset")
def show(config: ClipConfig) -> None:
    """Print samples: key, question, the image's size, and what else the dataset knows.

    Without --range: the first five.
    """
    from api_cli.dataset_views import describe, open_samples

    samples = open_samples(config, (0, 5))
    for sample in samples:
        Console().show(describe(sample, draw=sys.stdout.isatty()))
    if not samples:
        Console().warn(f"no samples in that range of {config.dataset}")


@datasets.command(context_settings=EITHER_SPELLING)
@flags_of(ClipConfig, panel=DATA, argument="dataset")
def check(config: ClipConfig) -> None:
    """Read every sample, and say which lack a question or have no picture that opens.

    Exit status: 0 all are well, 1 the dataset cannot be opened, 3 some samples are not.
    """
    from api_cli.dataset_views import find_faults, open_samples

    samples = open_samples(config)
    faults = 0
    for sample, fault in find_faults(samples):
        typer.echo(f"{sample.key} (sample {sample.index}): {fault}")
        faults += 1
    if faults:
        Console().error(f"{faults} of {len(samples)} samples are not as they should be")
        raise typer.Exit(_SOME_FAILED)
    Console().say(f"{len(samples)} samples, each with a question and a picture that opens")


@app.command(context_settings=EITHER_SPELLING)
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
    from rich.table import Table

    from api_cli.map_store import list_stores, remove_store

    stores = {store.folder.name: store for store in list_stores(output_folder)}
    for name in prune or ():
        if name != "all" and name not in stores:
            raise UsageError(
                f"--prune {name}: no such maps in {output_folder}; there are "
                f"{', '.join(stores) or 'none'}"
            )
    table = Table("name", "maps", "files", "MB", "", box=None, header_style="bold")
    for name, store in stores.items():
        gone = name in (prune or ()) or "all" in (prune or ())
        if gone:
            remove_store(store.folder)
        size = f"{store.bytes / 1e6:.1f}"
        table.add_row(name, str(store.maps), str(store.files), size, "deleted" if gone else "")
    Console().show(table if stores else f"no maps are kept in {output_folder}")


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


def _start(config: ClipConfig | LlavaConfig) -> tuple[Launch, Console]:
    launch = Launch.read()
    console = Console(quiet=config.quiet or not launch.is_first)
    if config.dataset == "demo" and config.model == "demo":
        console.say("demo: the small demo model on the demo set; real work wants --dataset NAME")
    return launch, console


def _finish(outcome: Outcome, console: Console, launch: Launch) -> None:
    """Say how it went, print the run folders on stdout, and exit with the right status."""
    if launch.is_first:
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
        # a launcher would take another status for a crash, and end the other processes
        if launch.world_size == 1:
            raise typer.Exit(_SOME_FAILED)
