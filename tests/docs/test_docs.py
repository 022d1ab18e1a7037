"""What README and docs show is what the program takes: commands, flags, files and links."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from api_cli.cli import app
from api_cli.scoring.exports import ANSWERS, PICTURES
from api_cli.scoring.metrics import METRICS
from datasets_manager.registry import registered
from experiments.maintenance import flags_table
from experiments.maintenance.models_table import put

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))

_PROGRAM = re.compile(r"(?:^|(?<=\s)|(?<=/))(?:apiprompt|-m api_cli)(?= |$)(.*)")
_INLINE = re.compile(r"`(apiprompt [^`]+)`")
_FENCED = re.compile(r"^ *```bash\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]+)")
# of other programs, and those that every program has
_OTHERS = {"help", "multi-gpu", "local-dir", "include-path", "tasks"}
_OTHERS |= {"address", "min-nodes", "ntasks-per-node", "ask", "mask"}


def blocks(page: Path) -> list[str]:
    """Lines of a page's shell blocks, fenced or indented, continued ones joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    fenced = [line for block in _FENCED.findall(text) for line in block.splitlines()]
    return fenced + [line[4:] for line in text.splitlines() if line.startswith("    ")]


def recipes() -> list[str]:
    """Lines of the Makefile's recipes, its own variables filled in."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    known = dict(re.findall(r"^(\w+) [:?]?= (.*)$", text, re.MULTILINE))
    lines = [line[1:] for line in text.splitlines() if line.startswith("\t")]
    for _ in known:
        lines = [re.sub(r"\$\((\w+)\)", lambda m: known.get(m[1], m[0]), line) for line in lines]
    return lines


def commands(lines: list[str]) -> list[list[str]]:
    """Words after `apiprompt` in lines for a shell."""
    found = []
    for line in lines:
        if match := _PROGRAM.search(line):
            words, *_ = re.split(r"[;|>](?![^']*')", re.sub(r"\$\w+", "1", match[1]))
            found.append(shlex.split(words, comments=True))
    return found


SHOWN = [
    pytest.param(words, id=f"{page.name}: {' '.join(words)}"[:110])
    for page, lines in [(p, blocks(p)) for p in PAGES] + [(ROOT / "Makefile", recipes())]
    for words in commands(lines)
]
IN_TEXT = [
    (page.name, shlex.split(line.replace("...", ""))[1:])
    for page in PAGES
    for line in _INLINE.findall(" ".join(page.read_text(encoding="utf-8").split()))
]


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("APIPROMPT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "my_package"  # a reader's own, with the loader that a page names
    package.mkdir()
    loader = "from datasets_manager import loader\n@loader\ndef load(root, options): return []\n"
    (package / "sets.py").write_text(loader)
    monkeypatch.syspath_prepend(tmp_path)


def subcommand(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and what is left of them."""
    command: Any = typer.main.get_command(app)
    while (below := getattr(command, "commands", {})) and words and words[0] in below:
        command, words = below[words[0]], words[1:]
    return command, words


def test_there_are_commands_to_try():
    assert len(SHOWN) > 30
    assert len(IN_TEXT) > 5


@pytest.mark.parametrize("words", SHOWN)
def test_a_command_that_is_shown_is_one_that_the_program_takes(words):
    command, _ = subcommand(words)
    if any(parameter.name == "print_config" for parameter in command.params):
        words = [*words, "--print-config"]
    else:  # `datasets`, `maps`: cheap, and of nothing in an empty folder
        words = [word for word in words if word != "--prune"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output or result.exception
    if words[-1:] == ["--print-config"]:
        assert yaml.safe_load(result.stdout)


def test_a_command_within_the_text_has_flags_that_there_are():
    for page, words in IN_TEXT:
        command, rest = subcommand(words)
        known = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)}
        given = {word for word in rest if word.startswith("--")} - {"--help"}
        assert given <= known, f"{page}: {words}"


def all_flags() -> set[str]:
    """Every flag of every subcommand, without dashes."""
    commands: list[Any] = [typer.main.get_command(app)]
    found: set[str] = set()
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        found |= {o[2:] for p in command.params for o in (*p.opts, *p.secondary_opts) if "--" in o}
    return found


def test_every_flag_is_described_and_no_other():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES[:1] + PAGES[3:])
    named = set(_FLAG.findall(text.replace("_", "-")))
    flags = all_flags()
    switches = {flag for flag in flags if f"no-{flag}" in flags}  # described on or off
    off = {f"no-{flag}" for flag in switches}
    either = {flag for flag in switches if {flag, f"no-{flag}"} & named}
    assert flags - off - either - named == _OTHERS & flags, "in no page"
    assert named - flags - _OTHERS == set(), "no command has it"


def test_sets_metrics_and_exports_are_all_named():
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES[3:])
    ours = [info.name for info in registered() if ":" not in info.name]
    for name in (*ours, *METRICS, *ANSWERS, *PICTURES):
        assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), name


def test_links_within_the_repository_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]*)", page.read_text(encoding="utf-8")):
            assert not target or (page.parent / target).exists(), f"{page.name}: {target}"


def test_flags_are_those_of_the_command_line():
    page = flags_table.PAGE.read_text(encoding="utf-8")
    written = put(page, flags_table.tables(), "flags")
    assert written == page, "run python -m experiments.maintenance.flags_table"
