"""A profile for people and scripts: the table on stdout, the CSV, the plot, and the line to use."""

from __future__ import annotations

from typing import Any

from api_cli.console import Console
from api_cli.profiling.choosing import Figure
from api_cli.profiling.plot import plot
from api_cli.profiling.profile import AnyProfileConfig, Line, Profile
from api_cli.runs.files import write_whole
from api_cli.scoring.tables import Table, as_text, show

_FAILURES_SHOWN = 10
_HEADS_SHOWN = 10  # of the table for people, those that do best on the half for choosing


def report(found: Profile, config: AnyProfileConfig, console: Console) -> None:
    """Print the table on stdout, write what else was asked for, and say what failed."""
    table = profile_table(found)
    show(table, config.table, console)
    if config.csv is not None:
        write_whole(config.csv, as_text(table, "csv").encode())
    if config.plot is not None:
        plot(found, config.plot)
    for row in found.failures[:_FAILURES_SHOWN]:
        console.error(f"{row['key']} (sample {row['index']}), {row['stage']}: {row['error']}")
    if len(found.failures) > _FAILURES_SHOWN:
        console.error(f"... and {len(found.failures) - _FAILURES_SHOWN} more samples failed")


def profile_table(found: Profile) -> Table:
    """Rows a layer, then the mean of all and that of the best few; every map for scripts."""
    ranked = [line for line in found.lines if line.map == found.ranked_by]
    heads = sorted((line for line in ranked if line.role == "head"), key=lambda h: -h.chosen_on)
    shown = [line for line in ranked if line.role != "head" or line in heads[:_HEADS_SHOWN]]
    head = ["layer", "AUROC", "95 %", "pointing", "95 %", "mass inside", "95 %"]
    return Table(
        head,
        [
            [_label(line), *(text for figure in _figures(line) for text in _cells(figure))]
            for line in shown
        ],
        [_record(line) for line in found.lines],
        [*_notes(found)],
        {
            "title": found.title,
            "layer_index": _flag(found.best),
            "ranked_by": found.ranked_by,
            "chosen_on": found.chosen_on,
            "reported_on": found.reported_on,
            "pictures": found.pictures,
            "inside": found.inside,
            "failed": len(found.failures),
            "rows": [_record(line) for line in found.lines],
        },
    )


def _notes(found: Profile) -> list[str]:
    return [
        f"{found.title}, {found.ranked_by}: n = {found.reported_on} samples of {found.pictures} "
        f"pictures; boxes cover {found.inside:.3f} of a picture, which is pointing and mass by "
        "chance; bootstrap by picture",
        f"the best few are chosen by AUROC on the {found.chosen_on} samples of the other half of "
        "the pictures",
        *(
            [f"of the heads the {_HEADS_SHOWN} that do best there; csv and json have all"]
            if sum(line.role == "head" for line in found.lines) > _HEADS_SHOWN
            else []
        ),
        f"--layer-index {_flag(found.best)}",
    ]


def _label(line: Line) -> str:
    if line.role == "head":
        return f"{line.layers[0]} head {line.head}"
    named = {"all": "all", "best": f"best: {_flag(line.layers)}"}
    return named.get(line.role, _flag(line.layers))


def _flag(layers: tuple[int, ...]) -> str:
    return "+".join(map(str, layers))


def _figures(line: Line) -> tuple[Figure, Figure, Figure]:
    return line.auroc, line.pointing, line.mass


def _cells(figure: Figure) -> tuple[str, str]:
    return f"{figure.mean:.3f}", f"{figure.interval.low:.3f} {figure.interval.high:.3f}"


def _record(line: Line) -> dict[str, Any]:
    record: dict[str, Any] = {
        "layer_index": _flag(line.layers),
        "head": line.head,
        "role": line.role,
        "map": line.map,
        "auroc_chosen_on": line.chosen_on,
    }
    for name, figure in zip(("auroc", "pointing", "mass"), _figures(line), strict=True):
        record |= {
            name: figure.mean,
            f"{name}_low": figure.interval.low,
            f"{name}_high": figure.interval.high,
        }
    return record
