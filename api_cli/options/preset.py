"""Configuration files beside their keys: whose they are, what they say to `ask`, layers by model.

command: llava          # for this subcommand alone, or for several: [clip, llava]
layer_index:            # by model, each value as --layer-index takes it
  llava-1.5-7b: 14
ask:                    # read by `apiprompt ask`, which passes over all else
  prompt: hint
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from api_cli.errors import UsageError
from api_cli.options.option import find_config, read_yaml, shipped_configs
from api_cli.options.parsers import Parse

COMMAND, ASK = "command", "ask"

SHORT_NAMES = {"7b": "llava-v1.5-7b", "13b": "llava-v1.5-13b"}
"""Of LLaVA-1.5, as the published program has them."""

_CACHED = "models--"  # folder of a repository in the hub's cache, before OWNER--NAME
_SCHEME = "hf-hub:"
_WORDS = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")


def read_config(name: str, command: str) -> tuple[Path, dict[str, Any]]:
    """The file of a configuration, and what it says to a subcommand.

    Args:
        name: a file, or a shipped configuration.
        command: the subcommand.

    Raises:
        UsageError: where there is no such file, or it is not for that subcommand.
    """
    path = find_config(name, shipped_for(command))
    content = read_yaml(path)
    if command == ASK and ASK in content:
        return path, section(content, path)
    commands = _commands(content)
    if commands and command not in commands:
        whose = " and ".join(f"`apiprompt {one}`" for one in commands)
        lacks = f", and has no section {ASK}" if command == ASK else ""
        raise UsageError(f"--config {name}: it is for {whose}{lacks}")
    return path, {key: content[key] for key in content if key not in (COMMAND, ASK)}


def section(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The section `ask:` of a file's content; empty where it has none. Raises UsageError."""
    keys = content.get(ASK) or {}
    if not isinstance(keys, dict):
        raise UsageError(f"{path}: {ASK}: expected keys and values of `apiprompt {ASK}`")
    return {str(key): value for key, value in keys.items()}


@cache
def shipped_for(command: str) -> tuple[Path, ...]:
    """The shipped configurations that are for a subcommand."""
    contents = ((path, _shipped(path)) for path in shipped_configs())
    return tuple(
        path
        for path, content in contents
        if command in _commands(content) or (command == ASK and ASK in content)
    )


@cache
def _shipped(path: Path) -> Mapping[str, Any]:
    return read_yaml(path)


def _commands(content: Mapping[str, Any]) -> list[str]:
    """The subcommands that a file says it is for; none for any."""
    given = content.get(COMMAND) or []
    return [str(one) for one in (given if isinstance(given, list) else [given])]


class ByModel(dict[str, Any]):
    """Values by models' names."""

    def of(self, model: str) -> Any:
        """The value of a model; None where it has none.

        That of its very name, or else of the longest name whose words follow each other in the
        model's: `llava-1.5-7b` is `7b`, `llava-hf/llava-1.5-7b-hf` and a folder
        `llava-1.5-7b-tuned`.

        Args:
            model: a short name, a hub id, or a folder.
        """
        if model in self:
            return self[model]
        words = _words(_own_name(model))
        known = {name: _words(_own_name(name)) for name in self}
        fitting = [name for name in self if _is_within(known[name], words)]
        return self[max(fitting, key=lambda name: len(known[name]))] if fitting else None


def by_model(parse: Parse) -> Parse:
    """A value, or in YAML a table of values by models' names."""

    def parse_all(raw: Any) -> Any:
        if not isinstance(raw, dict):
            return parse(raw)
        if not raw:
            raise ValueError("expected a value, or values by models' names")
        values = ByModel()
        for name, value in raw.items():
            try:
                values[str(name)] = parse(value)
            except ValueError as error:
                raise ValueError(f"of {name}: {error}") from None
        return values

    return parse_all


def _own_name(model: str) -> str:
    """A model's name without owner or folder."""
    if Path(model).is_dir():
        parts = Path(model).resolve().parts
        cached = [part for part in parts if part.startswith(_CACHED)]
        return cached[-1].rpartition("--")[2] if cached else parts[-1]
    name = SHORT_NAMES.get(model, model).removeprefix(_SCHEME)
    return name.rstrip("/").rpartition("/")[2]


def _words(name: str) -> list[str]:
    """Words and numbers of a name; the v of a version is none."""
    return [word for word in _WORDS.findall(name.casefold()) if word != "v"]


def _is_within(some: list[str], words: Iterable[str]) -> bool:
    whole = list(words)
    starts = range(len(whole) - len(some) + 1)
    return bool(some) and any(whole[start : start + len(some)] == some for start in starts)
