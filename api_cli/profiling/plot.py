"""A profile as a picture, by matplotlib, which is an extra."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from api_cli.errors import UsageError

if TYPE_CHECKING:
    from api_cli.profiling.profile import Profile

_SUFFIXES = (".png", ".svg", ".pdf")


def require_plot(path: Path) -> None:
    """Raise UsageError where no plot can be drawn there; before anything costly is done."""
    if path.suffix not in _SUFFIXES:
        raise UsageError(f"--plot {path}: expected a file name that ends in {', '.join(_SUFFIXES)}")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("--plot needs matplotlib: pip install 'apiprompt[plot]'")


def plot(found: Profile, path: Path) -> None:
    """Draw the AUROC of every layer's maps with its interval, and that of the best few."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(line.map for line in found.lines):
        lines = [line for line in found.lines if line.map == name]
        layers = [line for line in lines if line.role == "layer"]
        means = [line.auroc.mean for line in layers]
        below = [line.auroc.mean - line.auroc.interval.low for line in layers]
        above = [line.auroc.interval.high - line.auroc.mean for line in layers]
        ranks = name == found.ranked_by
        axes.errorbar(
            [line.layers[0] for line in layers], means, (below, above),
            label=name.replace("_", " "), marker="o", markersize=4, capsize=2,
            linewidth=1.6 if ranks else 0.8,
        )  # fmt: skip
        if ranks:
            best = "+".join(map(str, found.best))
            axes.axhline(
                lines[-1].auroc.mean,
                color="black",
                linestyle="--",
                linewidth=0.8,
                label=f"--layer-index {best}",
            )
            axes.axhline(lines[-2].auroc.mean, color="tab:grey", linewidth=0.8, label="mean of all")
    axes.axhline(0.5, color="black", linewidth=0.6, linestyle=":", label="chance")
    axes.set(xlabel="layer", ylabel="AUROC against the boxes", title=found.title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
