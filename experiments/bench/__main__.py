"""`python -m experiments.bench`: every benchmark, or the one named; tables and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.bench import end_to_end
from experiments.bench.common import report

app = typer.Typer(add_completion=False, help="Measure speed and memory, each as a ratio.")
Results = Annotated[Path, typer.Option(help="Folder for the JSON files.")]
RESULTS = Path("experiments/bench/results")


@app.command("end-to-end")
def run_end_to_end(
    architecture: str = "ViT-L-14",
    photographs: int = 24,
    rounds: int = 3,
    results: Results = RESULTS,
) -> None:
    """Reading, masking and writing on top of the bare forward pass."""
    rows = end_to_end.measure(architecture, photographs, rounds)
    report("A run against the bare model", rows, results / "end_to_end.json")


@app.callback(invoke_without_command=True)
def run_all(context: typer.Context) -> None:
    """Every benchmark, where none is named."""
    if context.invoked_subcommand is None:
        run_end_to_end()


if __name__ == "__main__":
    app()
