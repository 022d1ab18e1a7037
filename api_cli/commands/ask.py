"""`apiprompt ask`."""

from __future__ import annotations

import typer

from api_cli.console import Console
from api_cli.errors import SOME_FAILED
from api_cli.options.ask import AskConfig
from api_cli.options.flags import flags_of


@flags_of(AskConfig, argument="runs")
def ask(config: AskConfig) -> None:
    """Ask a vision-language model about the pictures of run folders, or of a dataset.

    Answers stand in RUN/answers/{model}-{digest}, those about originals in
    PLAIN_{dataset}-{digest}/answers beside the runs; these folders are printed
    on stdout, one a line. The same command does what is missing.

    The server speaks OpenAI's chat dialect: vLLM, SGLang, llama.cpp, Ollama,
    `transformers serve`, OpenAI. Its key, if it wants one, is read from the
    environment and written nowhere.

    Exit status: 0 done, 1 fatal, 2 wrong usage, 3 some questions have no answer
    (see errors.jsonl) or an empty one that was cut, 130 interrupted, 143
    terminated, 129 hung up.
    """
    from api_cli.asking.ask import ask as run

    console = Console(quiet=config.quiet)
    report = run(config, console)
    for folder in report.folders:
        typer.echo(folder)
    if report.finished:
        console.say(f"{report.finished} answered")
    if report.cut_empty:
        console.error(
            f"{report.cut_empty} answered with nothing: the model spent its --max-tokens "
            f"{config.max_tokens} before it said anything; allow more"
        )
    if report.failed:
        console.error(
            f"{report.failed} without an answer; errors.jsonl says why, and the same command "
            "tries them again"
        )
    if report.failed or report.cut_empty:
        raise typer.Exit(SOME_FAILED)
