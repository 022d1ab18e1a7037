"""What a run is told of LLaVA, or of another vision-language model, before it is imported."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.masking import LLAVA
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.relevance import Auxiliary, RelevanceModel
from api_cli.relevance.layers import resolve_layers

if TYPE_CHECKING:
    from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
    from api_cli.relevance.llava.vlm_checkpoint import VlmCheckpoint


def llava_auxiliary(config: LlavaConfig, console: Console, launch: Launch) -> Auxiliary:
    """The model that a configuration asks for; see `Auxiliary`."""

    @cache
    def find() -> LlavaCheckpoint | VlmCheckpoint:
        from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
        from api_cli.relevance.llava.found import require_bitsandbytes
        from api_cli.relevance.llava.vlm_checkpoint import find_checkpoint

        if config.load_in is not None:
            require_bitsandbytes(config.load_in)
        checkpoint = find_checkpoint(config.model)
        if isinstance(checkpoint, LlavaCheckpoint):
            if config.max_pixels is not None:
                raise UsageError("--max-pixels: a LLaVA-1.5 sees every picture in one size")
        elif config.fit != "paper":
            raise UsageError(
                f"--fit {config.fit}: {config.model} sees the whole picture as its own processor "
                "brings it in, and its maps show the whole; leave --fit out"
            )
        resolve_layers(config.layer_index, checkpoint)
        return checkpoint

    def load(precision: str) -> RelevanceModel:
        from api_cli.relevance.device import pick_device
        from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
        from api_cli.relevance.llava.model import LlavaRelevance
        from api_cli.relevance.llava.vlm import VlmRelevance

        checkpoint = find()
        device = str(pick_device(config.device, launch.local_rank))
        console.say(f"loading {config.model} on {device} in {precision}")
        if device == "cpu" and precision == "fp16":
            console.warn("fp16 is slow on a CPU; --precision fp32, where memory does, is faster")
        may_spread = config.device == "auto" and launch.world_size == 1
        device = "auto" if may_spread else device
        if isinstance(checkpoint, LlavaCheckpoint):
            return LlavaRelevance(
                checkpoint, fit=config.fit, device=device, precision=precision, **asked
            )
        return VlmRelevance(checkpoint, device=device, precision=precision, **asked)

    names = ["max_new_tokens", "prompt_template", "highlight", "load_in"]
    # those that came later are part of the identity only where they are given
    names += [name for name in ("max_pixels", "query_suffix") if getattr(config, name) is not None]
    asked = {name: getattr(config, name) for name in names}
    return Auxiliary(LLAVA, (LLAVA.name, config.model), find, load, asked)
