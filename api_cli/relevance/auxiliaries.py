"""The table of auxiliary models: a row a kind, by the configuration that asks for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api_cli.console import Console
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.options.run import RunConfig
from api_cli.relevance import Auxiliary
from api_cli.relevance.clip.auxiliary import clip_auxiliary
from api_cli.relevance.llava.auxiliary import llava_auxiliary

_AUXILIARIES: dict[type[RunConfig], Callable[[Any, Console, Launch], Auxiliary]] = {
    ClipConfig: clip_auxiliary,
    LlavaConfig: llava_auxiliary,
}


def auxiliary_of(config: RunConfig, console: Console, launch: Launch) -> Auxiliary:
    """The model that a configuration asks for; nothing is imported or read for it yet.

    Args:
        config: one of the table's, or of a class made from one.
        console: for what there is to say when it is loaded.
        launch: which of several processes asks, for its device.
    """
    kind = next(kind for kind in type(config).__mro__ if kind in _AUXILIARIES)
    return _AUXILIARIES[kind](config, console, launch)
