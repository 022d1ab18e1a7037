"""Relevance maps to masks to masked pictures: pure functions, no model, no file, no dataset."""

from __future__ import annotations

from api_cli.masking.mask import Array, Mask, clip_mask, enhance, llava_mask, minmax, smooth
from api_cli.masking.methods import CLIP, LLAVA, Method
from api_cli.masking.render import MaskSettings, apply_mask, blend, resize_mask
from api_cli.masking.resize import FILTERS, Box

__all__ = [
    "CLIP",
    "FILTERS",
    "LLAVA",
    "Array",
    "Box",
    "Mask",
    "MaskSettings",
    "Method",
    "apply_mask",
    "blend",
    "clip_mask",
    "enhance",
    "llava_mask",
    "minmax",
    "resize_mask",
    "smooth",
]
