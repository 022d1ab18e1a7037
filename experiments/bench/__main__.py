"""`python -m experiments.bench`: every benchmark, or the one named; tables and JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from experiments.bench import (
    asking,
    cpu,
    end_to_end,
    large_set,
    ledgers,
    llava,
    memory,
    one_device,
    processes,
    published,
    renderings,
    second_run,
    shared_pictures,
    sweep,
)
from experiments.bench.common import Row, report

app = typer.Typer(add_completion=False, help="Measure speed and memory, each as a ratio.")
RESULTS = Path(__file__).parent / "results"

BENCHMARKS: dict[str, tuple[str, Callable[[], list[Row]]]] = {
    "end-to-end": (
        "A run against the bare model, 24 photographs of a megapixel",
        lambda: (
            end_to_end.measure("ViT-B-32", 24, 5)
            + end_to_end.measure("ViT-L-14", 24, 3)
            + end_to_end.measure("ViT-L-14-336", 8, 3)
        ),
    ),
    "sweep": (
        "4 layers x 3 contrasts against one combination",
        lambda: sweep.measure("ViT-L-14", 32, 3),
    ),
    "second-run": (
        "A run from kept maps against decoding, blending and encoding alone",
        lambda: second_run.measure(96, 7),
    ),
    "cpu": (
        "CPU milliseconds of the belt's stages, photographs of a megapixel",
        lambda: cpu.measure(6, 7),
    ),
    "published": (
        "The published way against ours, one image",
        lambda: published.measure("ViT-L-14-336"),
    ),
    "llava": (
        "LLaVA's maps against transformers' own generation of the same answers",
        lambda: llava.measure(4, 5),
    ),
    "memory": ("Peak memory over samples", lambda: memory.measure(200, 2000)),
    "large-set": ("Ten samples of 100,000", lambda: large_set.measure(100_000)),
    "asking": (
        "apiprompt ask against the bare openai client, 80 kB a question",
        lambda: asking.measure(1_000, 10_000),
    ),
    "shared-pictures": (
        "Several questions about one picture against as many single ones",
        lambda: shared_pictures.clip("ViT-L-14", 4, 6, 3) + shared_pictures.llava(1, 6, (1, 20), 3),
    ),
    "layouts": (
        "Pictures seen for all questions of POPE's and MME's layouts, demo models",
        lambda: shared_pictures.layouts(20, 6),
    ),
    "ledgers": (
        "Rows of manifests: added, mended, opened",
        lambda: ledgers.measure(40_000, 20_000, 200_000),
    ),
    "renderings": (
        "CPU milliseconds of each rendering, photographs of a megapixel",
        lambda: renderings.measure(6, 7),
    ),
    "twelve-renderings": (
        "A run of twelve renderings from kept maps against decoding, drawing and encoding alone",
        lambda: renderings.twelve(24, 5),
    ),
    "processes": ("The same pictures from several processes", processes.measure),
}


@app.command()
def main(
    names: list[str] = typer.Argument(None, metavar="[NAME]..."),  # noqa: B008
    device: str | None = typer.Option(
        None, metavar="DEVICE", help="Measure this device instead (cuda, cpu): tables in full."
    ),
) -> None:
    """Run the benchmarks named, or all: end-to-end, sweep, second-run, published, ..."""
    if device is not None:
        plan = one_device.SMALL if device == "cpu" else one_device.FULL
        for number, (title, rows) in enumerate(one_device.measure(device, plan), start=1):
            report(title, rows, RESULTS / f"device-{number}.json")
        return
    for name in names or BENCHMARKS:
        if name not in BENCHMARKS:
            raise typer.BadParameter(f"{name}: there are {', '.join(BENCHMARKS)}")
        title, measure = BENCHMARKS[name]
        report(title, measure(), RESULTS / f"{name}.json")


if __name__ == "__main__":
    app()
