"""The generated part of docs/study.md: tables of what came out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.scoring.statistics import holm
from experiments.study.drawn import ALL, BOXES, INVERTED, SHUFFLED, Rows

BEGIN, END = "<!-- study: begin, written by experiments/study -->", "<!-- study: end -->"
KINDS = ("colour", "place", "count", "presence", "beside", ALL)
SIZES = ("under 8 %", "8 to 11 %", "11 to 16 %", "16 to 24 %", "over 24 %")
CLEAR = 2.0  # points by which a gain counts

Results = Sequence[Mapping[str, Any]]  # of levels


class Cell(NamedTuple):
    """One kind of question at one level, and the setting that was chosen for it elsewhere.

    Attributes:
        level, kind: which.
        plain: score of the originals, in points.
        row: of the chosen setting, on scenes that nothing was chosen on.
        p_holm: its p, corrected for the number of all cells.
    """

    level: str
    kind: str
    plain: float
    row: Mapping[str, Any]
    p_holm: float


def wins(row: Mapping[str, Any]) -> bool:
    """More than CLEAR points with an interval clear of zero."""
    return bool(row["difference"] > CLEAR and row["low"] > 0)


def cells(results: Results) -> list[Cell]:
    """Every kind at every level, with the setting chosen for it; kinds with too few left out."""
    found: list[tuple[str, str, float, Mapping[str, Any]]] = []
    for level in results:
        rows = _rows(level["report"])
        for kind in KINDS:
            name = level["chosen"].get(kind, level["chosen"][ALL])
            if (kind, name) in rows:
                plain = float(rows[kind, "plain"]["score"])
                found.append((level["level"], kind, plain, rows[kind, name]))
    corrected = holm([row["p"] for *_, row in found])
    return [Cell(*cell, p) for cell, p in zip(found, corrected, strict=True)]


def write_page(
    page: Path, results: Results, confirmed: Results, pictures: Mapping[str, Path]
) -> None:
    """Put tables and pictures between the page's marks.

    Args:
        page: with the marks in it.
        results: of the levels.
        confirmed: what was looked at again.
        pictures: files of plots, by what they show.
    """
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    shown = [
        f"![{title}]({path.relative_to(page.parent).as_posix()})"
        for title, path in pictures.items()
    ]
    parts = [_about(results), *shown, *_cells_table(results), *_controls(results)]
    parts += [*_confirmed(confirmed), *_sizes(results), *_choice(results)]
    page.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", "utf-8")


def _about(results: Results) -> str:
    first = results[0]
    return (
        f"Model asked: `{first['model']}`. Settings were chosen on {first['scenes']} scenes a "
        f"level and are reported on {first['report_scenes']} others a level, a question each. "
        "Points of 100; in brackets 95 % of a bootstrap by picture."
    )


def _cells_table(results: Results) -> list[str]:
    lines = []
    for cell in cells(results):
        row = cell.row
        mark = " **wins**" if wins(row) else " loses" if row["high"] < 0 else ""
        lines.append(
            (
                cell.level,
                cell.kind or "all",
                str(row["n"]),
                f"{cell.plain:.1f}",
                row["setting"],
                f"{row['score']:.1f}",
                f"{effect(row)}{mark}",
                f"{row['won']}/{row['lost']}",
                f"{cell.p_holm:.2g}",
            )
        )
    head = ("scenes", "question", "n", "plain", "chosen for it", "masked", "difference")
    return [
        "### The best recipe of each kind of question, on fresh scenes",
        table((*head, "won/lost", "p, Holm"), lines),
    ]


def _controls(results: Results) -> list[str]:
    parts = ["### Controls"]
    for level in results:
        rows = _rows(level["report"])
        kinds = [kind for kind in KINDS if (kind, "plain") in rows]
        names = [level["reference"], SHUFFLED, INVERTED, *BOXES]
        plain = ("plain (score)", *(f"{rows[kind, 'plain']['score']:.1f}" for kind in kinds))
        lines = [(name, *(effect(rows[kind, name]) for kind in kinds)) for name in names]
        head = (level["level"], *(kind or "all" for kind in kinds))
        parts.append(table(head, [plain, *lines]))
    return parts


def _confirmed(confirmed: Results) -> list[str]:
    lines = []
    for one in confirmed:
        rows = {row["setting"]: row for row in one["rows"]}
        row = rows[one["setting"]]
        lines.append(
            (
                one["level"],
                one["kind"],
                str(row["n"]),
                f"{rows['plain']['score']:.1f}",
                one["setting"],
                f"{effect(row)}{' **wins**' if wins(row) else ''}",
                f"{row['won']}/{row['lost']}",
                f"{row['p_holm']:.2g}",
                effect(rows[SHUFFLED]),
            )
        )
    head = ("scenes", "question", "n", "plain", "setting", "difference", "won/lost", "p, Holm")
    return [
        "### Where masks seemed to help most, on further scenes of that kind alone",
        table((*head, SHUFFLED), lines),
    ]


def _sizes(results: Results) -> list[str]:
    lines = []
    for level in results:
        rows, name = _rows(level["sizes"]), level["chosen"][ALL]
        known = [size for size in SIZES if (size, name) in rows]
        lines += [
            (
                level["level"],
                size,
                str(rows[size, name]["n"]),
                f"{rows[size, 'plain']['score']:.1f}",
                name,
                effect(rows[size, name]),
            )
            for size in known
        ]
    head = ("scenes", "size of the thing", "n", "plain", "best of all kinds", "difference")
    return ["### By size of the asked thing, as a share of the picture's side", table(head, lines)]


def _choice(results: Results) -> list[str]:
    found = [_rows(level["choice"]) for level in results]
    names = list(dict.fromkeys(row["setting"] for level in results for row in level["choice"]))
    lines = [
        (name, *(effect(rows[ALL, name]) if (ALL, name) in rows else "" for rows in found))
        for name in names
        if name != "plain"
    ]
    return [
        "### What was tried, on the scenes that settings were chosen on",
        table(("setting, all kinds", *(level["level"] for level in results)), lines),
    ]


def effect(row: Mapping[str, Any]) -> str:
    """A difference with its interval."""
    return f"{row['difference']:+.1f} [{row['low']:+.1f}, {row['high']:+.1f}]"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    every = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in every)


def _rows(rows: Rows) -> dict[tuple[str, str], Mapping[str, Any]]:
    """By group and setting."""
    return {(row["group"], row["setting"]): row for row in rows}
