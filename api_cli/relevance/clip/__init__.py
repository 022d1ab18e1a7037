"""CLIP: where an image and a question agree (METHOD.md section 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api_cli.relevance.clip.checkpoint import ClipCheckpoint
    from api_cli.relevance.clip.model import ClipRelevance

__all__ = ["ClipCheckpoint", "ClipRelevance"]


def __getattr__(name: str) -> Any:
    """What imports torch is imported when it is first asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from api_cli.relevance.clip import checkpoint, model

    return getattr(checkpoint if name == "ClipCheckpoint" else model, name)
