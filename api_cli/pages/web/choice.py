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
    kind: type[Any] = type(config)
    usual = kind()
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


def spelt(method: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Sliders' values as a configuration's fields have them."""
    share, regions = chosen["share"], chosen["regions"]
    said: dict[str, Any] = {
        "enhance_coe": chosen["enhance_coe"] if chosen["contrasted"] else "none",
        "smooth": f"gaussian:{chosen['gaussian']}" if chosen["gaussian"] else "mean",
        "keep": "none" if share == 1 else f"{share}:{regions}" if regions else str(share),
        "denoise": chosen["denoise"] or "none",
    }
    if method == "clip":  # what is defined for attention alone
        said |= {"denoise": "none", "relative": "none"}
        said |= {"softmax": "image", "token_weights": "even", "highlight": None}
    return said


def value_of(control: str, config: RunConfig) -> Any:
    """A slider's value where the picture is to be as a configuration says; `spelt` backwards."""
    share, _, regions = config.keep[0].partition(":")
    if control == "share":
        return 1 if share == "none" else float(share)
    if control == "regions":
        return int(regions or 0)
    if control == "gaussian":
        return float(config.smooth[0].partition(":")[2] or 0)
    if control == "contrasted":
        return config.enhance_coe[0] != "none"
    value = getattr(config, control)[0]
    return (
        {"enhance_coe": 5, "denoise": 0}[control]
        if value == "none" and control in ("enhance_coe", "denoise")
        else value
    )
