"""`python -m experiments.maintenance.models_table`: write the tables of docs/models.md.

A row for each name of open_clip's, from its configuration and the program's own table of towers,
and one for each family of vision-language models; nothing is downloaded and no model is built.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import open_clip

from api_cli.relevance.clip.towers.table import Unreadable, find_tower
from api_cli.relevance.llava.families import FAMILIES, Family

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
HEAD = """| name | read | layers | default layer | grid |
|---|---|---|---|---|"""
FAMILIES_HEAD = """| `model_type` | its image tokens | `--max-pixels` | picture read | from |
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


def family_row(name: str, family: Family) -> str:
    """A family's row."""
    layout = (family.views.__doc__ or "").splitlines()[0].rstrip(".")
    sizes = "yes" if family.options else "one size"
    shared = "once" if family.shareable else "for each question"
    return f"| {name} | {layout} | {sizes} | {shared} | transformers {family.since or '5.17'} |"


def families_table() -> str:
    """The table of the families of vision-language models beyond LLaVA-1.5."""
    return "\n".join((FAMILIES_HEAD, *(family_row(*item) for item in FAMILIES.items())))


def put(page: str, content: str, mark: str = "clip") -> str:
    """The page with its table between the marks exchanged. Raises ValueError for want of marks."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, rest = page.split(f"{begin}\n", 1)
    _, after = rest.split(end, 1)
    return f"{before}{begin}\n{content}\n{end}{after}"


def main() -> int:
    """Write it."""
    page = PAGE.read_text(encoding="utf-8")
    page = put(page, table(open_clip.list_models()))
    PAGE.write_text(put(page, families_table(), "vlm"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
