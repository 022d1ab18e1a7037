"""LLaVA and its like: where a model looks while it answers (METHOD.md section 2).

LLaVA-1.5 is `checkpoint.py` and `model.py`, as the paper has it. Other families are rows of
`families.py`, found by `vlm_checkpoint.py`, given what `blocks.py` makes, read by `vlm.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
    from api_cli.relevance.llava.model import LlavaRelevance, attention_map

__all__ = ["LlavaCheckpoint", "LlavaRelevance", "attention_map"]


def __getattr__(name: str) -> Any:
    """What imports torch is imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from api_cli.relevance.llava import checkpoint, model

    return getattr(checkpoint if name == "LlavaCheckpoint" else model, name)
