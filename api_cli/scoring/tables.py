"""A table on stdout: for the terminal, or as Markdown, CSV or JSON for scripts."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.table
from rich.console import Group
from rich.text import Text

from api_cli.console import Console


class Table(NamedTuple):
    """What is shown, in two forms.

    Attributes:
        head: names of the columns as people read them; the first is the rows' own name.
        rows: cells as people read them.
        records: the same rows as scripts read them, all of the same names.
        notes: lines that belong under it.
        content: what JSON says; None for the records.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    records: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()
    content: Any = None


def show(table: Table, kind: str, console: Console) -> None:
    """Print a table on stdout.

    Args:
        table: what to print.
        kind: `auto` for the terminal, else as of `as_text`.
        console: takes the notes on a table that has no room for them.
    """
    if kind == "auto":
        console.show(for_terminal(table))
        return
    sys.stdout.write(as_text(table, kind))
    if kind == "csv":
        for note in table.notes:
            console.say(note)


def for_terminal(table: Table) -> Group:
    """For rich: only the first column is broken where it is too wide, and nothing is cut off."""
    shown = rich.table.Table(box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(table.head):
        if number == 0:
            shown.add_column(name, overflow="fold")
        else:
            shown.add_column(name, justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return Group(shown, *(Text(note, style="dim") for note in table.notes))


def as_text(table: Table, kind: str) -> str:
    """As `md`, `csv` or `json`."""
    if kind == "json":
        content = list(table.records) if table.content is None else table.content
        return json.dumps(content, indent=2, ensure_ascii=True) + "\n"
    if kind == "csv":
        buffer = io.StringIO()
        names = list(dict.fromkeys(name for record in table.records for name in record))
        writer = csv.DictWriter(buffer, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.records)
        return buffer.getvalue()
    lines = [table.head, ["---", *["---:"] * (len(table.head) - 1)], *table.rows]
    text = "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)
    return text + "".join(f"\n{_cell(note)}\n" for note in table.notes)


def _cell(text: str) -> str:
    """A text that ends no cell."""
    return text.replace("|", "\\|").replace("\n", " ")
