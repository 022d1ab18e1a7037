"""What a visitor chooses: the configuration of `clip` or `llava`, and the command that says it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import PurePath
from typing import Any

from api_cli.options.clip import ClipConfig
from api_cli.options.llava import LlavaConfig
from api_cli.options.option import plain
from api_cli.options.run import RunConfig

METHODS: Mapping[str, type[RunConfig]] = {"clip": ClipConfig, "llava": LlavaConfig}


def configuration(method: str, chosen: Mapping[str, Any], device: str) -> RunConfig:
    """The configuration of a choice.

    Args:
        method: a key of `METHODS`.
        chosen: fields of its configuration to values, None and "" where nothing is chosen; those
            that the method has not are left out.
        device: that the models run on.

    Raises:
        UsageError: for a value that will not do, naming it.
    """
    config = METHODS[method]
    said = {
        name: value
        for name, value in chosen.items()
        if name in config.options() and value is not None and value != ""
    }
    return config.resolve({**said, "device": device}, {})


def differing(config: RunConfig) -> dict[str, Any]:
    """What a configuration says beside what is so by default, in YAML's own types."""
    usual = type(config)()
    return {
        f.name: plain(getattr(config, f.name))
        for f in fields(config)
        if f.name != "device" and getattr(config, f.name) != getattr(usual, f.name)
    }


def command(method: str, config: RunConfig, picture: str, question: str) -> str:
    """The line for a shell that makes the same picture beside the original.

    Args:
        method: a key of `METHODS`.
        config: of the choice.
        picture: name of the original's file.
        question: asked about it.
    """
    words = ["apiprompt", method, PurePath(picture).name, "--question", question]
    for name, value in differing(config).items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        elif str(value).startswith("-"):
            words.append(f"{flag}={value}")
        else:
            words += [flag, str(value)]
    return shlex.join(words)
