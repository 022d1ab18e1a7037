"""`python -m experiments.maintenance.flags_table`: write the tables of docs/flags.md.

A row for each flag of each subcommand, from the command line itself.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer
from rich.text import Text

from api_cli.cli import app
from experiments.maintenance.models_table import put

PAGE = Path(__file__).parents[2] / "docs" / "flags.md"
HEAD = "| | | meaning |\n|---|---|---|"
_SHOWN_ONCE = {"help"}


class Flag(NamedTuple):
    """A flag as `--help` shows it: its spelling, what its value looks like, what it means."""

    name: str
    value: str
    meaning: str

    def row(self) -> str:
        """Its row of a table."""
        cells = (self.name and f"`{self.name}`", self.value and f"`{self.value}`", self.meaning)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def flags(command: Any) -> list[Flag]:
    """The flags and arguments of a subcommand."""
    found = []
    for parameter in command.params:
        if parameter.name in _SHOWN_ONCE:
            continue
        is_argument = parameter.param_type_name == "argument"
        names = "" if is_argument else "`, `".join((*parameter.opts, *parameter.secondary_opts))
        is_switch = getattr(parameter, "is_flag", False)
        value = "" if is_switch else parameter.metavar or ""
        found.append(Flag(names, value, _as_markdown(parameter.help or "")))
    return found


def _as_markdown(help: str) -> str:
    """Rich markup as Markdown, in which an angle bracket would begin a tag."""
    return Text.from_markup(help).plain.replace("<", "&lt;").replace("\n", " ")


def subcommands() -> Iterator[tuple[str, Any]]:
    """Names of the subcommands, such as `datasets show`, and what click knows of them."""
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop(0)
        below: Mapping[str, Any] = getattr(command, "commands", {})
        waiting += [(f"{name} {word}".strip(), c) for word, c in below.items() if not c.hidden]
        if not below:
            yield name, command


def tables() -> str:
    """A section a subcommand; flags that `clip` and `llava` share stand in one before theirs."""
    known = {name: flags(command) for name, command in subcommands()}
    shared = [flag for flag in known["clip"] if flag in known["llava"]]
    sections = [_section("`clip` and `llava`", shared)]
    for name, own in known.items():
        rest = [flag for flag in own if flag not in shared] if name in ("clip", "llava") else own
        also = " alone" if name in ("clip", "llava") else ""
        sections.append(_section(f"`{name}`{also}", rest))
    return "\n\n".join(sections)


def _section(title: str, rows: Iterable[Flag]) -> str:
    return "\n".join((f"## {title}", "", HEAD, *(flag.row() for flag in rows)))


def main() -> int:
    """Write it."""
    PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), tables(), "flags"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
