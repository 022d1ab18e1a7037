"""Plots of the study, as SVG files beside its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.study.drawn import ALL, INVERTED, SHUFFLED
from experiments.study.page import KINDS, SIZES, Results

GAIN, LOSS, OPEN, GREY = "#1b7837", "#b2182b", "#4d4d4d", "#9a9a9a"
MARKS = {
    "true boxes": ("D", "#2166ac"),
    "true and answer boxes": ("s", "#67a9cf"),
    "a neighbour": ("v", "#c2a5cf"),
    INVERTED: ("^", "#e08214"),
    SHUFFLED: ("x", "#7b3294"),
}


def draw_plots(results: Results, folder: Path) -> dict[str, Path]:
    """Write the plots; their files by what they show."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"font.size": 9, "svg.hashsalt": "study", "axes.spines.top": False})
    mpl.rcParams.update({"axes.spines.right": False, "svg.fonttype": "none"})
    folder.mkdir(parents=True, exist_ok=True)
    kinds = "What masks change, by kind of question"
    sizes = "What the best mask changes, by size of the asked thing"
    return {
        kinds: _panels(results, folder / "kinds.svg", "report", KINDS, controls=True),
        sizes: _panels(results, folder / "sizes.svg", "sizes", SIZES, controls=False),
    }


def _panels(results: Results, path: Path, part: str, groups: Any, *, controls: bool) -> Path:
    """A panel a level: differences from plain with intervals, a line a group."""
    import matplotlib.pyplot as plt

    width = max(4.0, 2.6 * len(results))
    figure, axes = plt.subplots(
        1,
        len(results),
        figsize=(width, 0.55 * len(groups) + (1.8 if controls else 1.3)),
        sharey=True,
        squeeze=False,
    )
    for axis, level in zip(axes[0], results, strict=True):
        rows = {(row["group"], row["setting"]): row for row in level[part]}
        for place, group in enumerate(groups):
            chosen = level["chosen"]
            name = chosen[ALL] if part == "sizes" else chosen.get(group, chosen[ALL])
            if (group, name) not in rows:
                continue
            _interval(axis, place, rows[group, name])
            for control, (mark, colour) in MARKS.items() if controls else ():
                row = rows[group, control]
                axis.plot(row["difference"], place + 0.25, mark, color=colour, ms=4, label=control)
        axis.axvline(0, color="black", lw=0.8)
        axis.set_title(level["level"])
        axis.set_xlabel("points from plain")
        axis.set_yticks(range(len(groups)), [group or "all" for group in groups])
        axis.set_ylim(len(groups) - 0.4, -0.6)
    if controls:
        handles, labels = axes[0][0].get_legend_handles_labels()
        found = dict(zip(labels, handles, strict=True))  # each once
        figure.legend(
            found.values(),
            found.keys(),
            loc="lower center",
            ncols=3,
            frameon=False,
            columnspacing=1,
        )
    figure.tight_layout(rect=(0, 0.12 if controls else 0, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return path


def _interval(axis: Any, place: float, row: Mapping[str, Any]) -> None:
    """A setting's difference with its interval: green above zero, red below, grey across."""
    colour = GAIN if row["low"] > 0 else LOSS if row["high"] < 0 else OPEN
    axis.plot([row["low"], row["high"]], [place, place], color=colour, lw=2.5)
    axis.plot(row["difference"], place, "o", color=colour, ms=6, label="the chosen mask")
