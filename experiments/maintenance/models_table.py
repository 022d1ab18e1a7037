"""`python -m experiments.maintenance.models_table`: write CLIP's table into docs/models.md.

A row for each name of open_clip's, from its configuration and the program's own table of towers;
nothing is downloaded and no model is built.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import open_clip

from api_cli.relevance.clip.towers.table import Unreadable, find_tower

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- clip: begin -->", "<!-- clip: end -->"
HEAD = """| name | read | layers | default layer | grid |
|---|---|---|---|---|"""


def row(name: str) -> str:
    """A name's row: how it is read, or that it is refused and why."""
    try:
        tower = find_tower(open_clip.get_model_config(name)["vision_cfg"])
    except Unreadable as why:
        return f"| {name} | refused: {why} | | | |"
    rows, columns = tower.grid
    layer = tower.layers + tower.kind.default_layer
    analogue = ", our analogue" if tower.kind.note else ""
    return (
        f"| {name} | {tower.kind.name}{analogue} | {tower.layers} | {layer} | {rows} x {columns} |"
    )


def table(names: Iterable[str]) -> str:
    """The table of these names, those that are read first, and how many they are."""
    rows = sorted(map(row, names), key=lambda one: ("| refused" in one, one.casefold()))
    read = sum("| refused" not in one for one in rows)
    said = f"{read} of the {len(rows)} names of open_clip {open_clip.__version__} are read."
    return "\n".join((said, "", HEAD, *rows))


def put(page: str, content: str) -> str:
    """The page with its table between the marks exchanged. Raises ValueError for want of marks."""
    before, rest = page.split(f"{BEGIN}\n", 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n{content}\n{END}{after}"


def main() -> int:
    """Write it."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(put(page, table(open_clip.list_models())), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
