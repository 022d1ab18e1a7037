"""Attention prompting on images: which parts of an image matter for a question, the rest faded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api_cli.api import clip_api, llava_api

__all__ = ["clip_api", "llava_api"]


def __getattr__(name: str) -> Any:
    """The library's functions, imported when first asked for: the command line is up before."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from api_cli import api

    return getattr(api, name)
