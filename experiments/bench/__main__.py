"""`python -m experiments.bench`: every benchmark, or the one named; tables and JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from experiments.bench import (
    asking,
    cpu,
    end_to_end,
    gallery,
    large_set,
    ledgers,
    llava,
    memory,
    one_device,
    processes,
    published,
    recipes,
    renderings,
    second_run,
    shared_pictures,
    start_up,
    sweep,
    threads,
    vlm_memory,
    web,
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
    "vlm-memory": (
        "Three layers of a Qwen2.5-VL read, against plain generation and whole attention matrices",
        lambda: vlm_memory.measure((1_000, 4_000)),
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
    "pope": (
        "POPE at its full size: 500 pictures, 6 questions in each of its three files, demo models",
        lambda: shared_pictures.pope(500, 6),
    ),
    "ledgers": (
        "Rows of manifests: added, mended, opened",
        lambda: ledgers.measure(40_000, 20_000, 200_000),
    ),
    "web": (
        "From a slider of the page to its new picture, CPU milliseconds at a megapixel",
        lambda: web.measure(9),
    ),
    "gallery": (
        "A gallery against its thumbnails alone, pictures of a megapixel",
        lambda: gallery.measure(2_000, 3),
    ),
    "start-up": (
        "A finished run of 200,000 rows, started again",
        lambda: start_up.measure(200_000),
    ),
    "recipes": (
        "Twelve settings from kept maps, and --relative, against the same without",
        lambda: recipes.kept_maps(8, 3) + recipes.relative(4, 5),
    ),
    "renderings": (
        "CPU milliseconds of each rendering, photographs of a megapixel",
        lambda: renderings.measure(6, 7),
    ),
    "twelve-renderings": (
        "A run of twelve renderings from kept maps against decoding, drawing and encoding alone",
        lambda: renderings.twelve(24, 5),
    ),
    "threads": (
        "What the belt's threads do beside the model, photographs of a megapixel",
        lambda: threads.measure((1, 2, 4, 8), 96),
    ),
    "processes": ("The same pictures from several processes", processes.measure),
}


@app.command()
def main(
    names: list[str] = typer.Argument(None, metavar="[NAME]..."),  # noqa: B008
    device: str | None = typer.Option(
        None, "--device", metavar="DEVICE", help="Measure this device instead: cuda, cpu."
    ),
    budget: float | None = typer.Option(
        None, "--budget", metavar="SECONDS", help="For --device: leave out what takes longer."
    ),
) -> None:
    """Run the benchmarks named, or all: end-to-end, sweep, second-run, published, ..."""
    if device is not None:
        plan = one_device.SMALL if device == "cpu" else one_device.FULL
        plan = plan if budget is None else plan._replace(budget=budget)
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
