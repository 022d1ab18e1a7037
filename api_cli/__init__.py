"""Attention prompting on images: which parts of an image matter for a question, the rest faded."""

from __future__ import annotations

from api_cli.api import clip_api, llava_api

__all__ = ["clip_api", "llava_api"]
