"""What a run is told of CLIP before anything of it is imported."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from api_cli.console import Console
from api_cli.masking import CLIP
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.relevance import Auxiliary

if TYPE_CHECKING:
    from api_cli.relevance.clip.checkpoint import ClipCheckpoint
    from api_cli.relevance.clip.model import ClipRelevance


def clip_auxiliary(config: ClipConfig, console: Console, launch: Launch) -> Auxiliary:
    """The CLIP that a configuration asks for; see `Auxiliary`."""

    @cache
    def find() -> ClipCheckpoint:
        from api_cli.relevance.clip.checkpoint import ClipCheckpoint

        return ClipCheckpoint(config.model, config.pretrained)

    def load(precision: str) -> ClipRelevance:
        from api_cli.relevance.clip.model import ClipRelevance
        from api_cli.relevance.device import pick_device

        device = pick_device(config.device, launch.local_rank)
        console.say(f"loading {config.model} on {device}")
        if find().kind.note:
            console.say(f"{config.model}: {find().kind.note}")
        return ClipRelevance(find(), fit=config.fit, device=str(device), precision=precision)

    words = (CLIP.name, config.model, *([config.pretrained] if config.pretrained else []))
    return Auxiliary(CLIP, words, find, load, {})
