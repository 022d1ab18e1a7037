"""Relevance maps to masks to masked pictures: pure functions, no model, no file, no dataset."""

from __future__ import annotations

from api_cli.masking.mask import Mask, clip_mask, enhance, llava_mask, minmax
from api_cli.masking.methods import CLIP, LLAVA, Method
from api_cli.masking.render import apply_mask, blend, resize_mask
from api_cli.masking.resize import FILTERS, Box
from api_cli.masking.settings import Keep, MaskSettings
from api_cli.masking.steps import (
    Array,
    Region,
    brightest,
    denoise,
    difference,
    gaussian,
    raise_floor,
    ratio,
    smooth,
)

__all__ = [
    "CLIP",
    "FILTERS",
    "LLAVA",
    "Array",
    "Box",
    "Keep",
    "Mask",
    "MaskSettings",
    "Method",
    "Region",
    "apply_mask",
    "blend",
    "brightest",
    "clip_mask",
    "denoise",
    "difference",
    "enhance",
    "gaussian",
    "llava_mask",
    "minmax",
    "raise_floor",
    "ratio",
    "resize_mask",
    "smooth",
]
