"""What a run is told of LLaVA before anything of it is imported."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from api_cli.console import Console
from api_cli.masking import LLAVA
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.relevance import Auxiliary

if TYPE_CHECKING:
    from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
    from api_cli.relevance.llava.model import LlavaRelevance


def llava_auxiliary(config: LlavaConfig, console: Console, launch: Launch) -> Auxiliary:
    """The LLaVA that a configuration asks for; see `Auxiliary`."""

    @cache
    def find() -> LlavaCheckpoint:
        from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
        from api_cli.relevance.llava.found import require_bitsandbytes

        if config.load_in is not None:
            require_bitsandbytes(config.load_in)
        return LlavaCheckpoint(config.model)

    def load(precision: str) -> LlavaRelevance:
        from api_cli.relevance.device import pick_device
        from api_cli.relevance.llava.model import LlavaRelevance

        device = str(pick_device(config.device, launch.local_rank))
        console.say(f"loading {config.model} on {device} in {precision}")
        if device == "cpu" and precision == "fp16":
            console.warn("fp16 is slow on a CPU; --precision fp32, where memory does, is faster")
        may_spread = config.device == "auto" and launch.world_size == 1
        return LlavaRelevance(
            find(),
            fit=config.fit,
            device="auto" if may_spread else device,
            precision=precision,
            **asked,
        )

    asked = {
        name: getattr(config, name)
        for name in ("max_new_tokens", "prompt_template", "highlight", "load_in")
    }
    return Auxiliary(LLAVA, (LLAVA.name, config.model), find, load, asked)
