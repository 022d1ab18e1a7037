"""From a relevance map to a mask on the patch grid: METHOD.md section 3, RECIPES.md section 2.

Pure functions over float32 arrays of shape (..., h, w), h x w being the patch grid or the part of
it that shows the image. NumPy does, so that masks made from kept maps need no torch.

The order of the steps is that of `llava_mask` and `clip_mask`; a step that is not asked for leaves
its map as it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from api_cli.masking import steps
from api_cli.masking.settings import MaskSettings
from api_cli.masking.steps import Array, Region

_FLAT = 1e-6  # of what a Gaussian leaves: less is the arithmetic's last bits


class Mask(NamedTuple):
    """A mask on the patch grid.

    Attributes:
        values: (h, w) float32 in [0, 1]; 1 keeps the image, 0 fades it.
        flat: whether a map told no patch from another, so that `values` are all ones.
        kept: (h, w) bool, the patches that `MaskSettings.keep` keeps; None where all are.
    """

    values: Array
    flat: bool
    kept: Region | None = None


def minmax(m: Array) -> Array:
    """Scale a map (h, w) linearly onto [0, 1]. NaN where the map is flat."""
    scaled: Array = (m - m.min()) / (m.max() - m.min())
    return scaled


def enhance(m: Array, coe: float) -> Array:
    """Contrast: sigmoid of the standardised map (h, w), times `coe`; std with n - 1."""
    standardised = (m - m.mean()) / m.std(ddof=1)
    with np.errstate(over="ignore"):  # exp's infinity is the sigmoid's 0
        enhanced: Array = 1 / (1 + np.exp(-np.float32(coe) * standardised))
    return enhanced


def llava_mask(maps: Array, settings: MaskSettings, general: Array | None = None) -> Mask:
    """Turn an attention map into a mask: METHOD.md section 3, with the steps of RECIPES.md.

    Args:
        maps: (1, h, w) float32, 0 or more, the mean of the layers that are read.
        settings: which steps are taken, and how.
        general: likewise, under the general question, where the mask is to be relative to it.

    Raises:
        ValueError: where a map holds NaN or infinity.
    """
    m = _denoised(_relative(_finite(maps), general, settings), settings)
    if _is_flat(m):
        return _all_ones(maps)
    mask = _smoothed(_enhanced(minmax(m[0]), settings), settings)
    return _all_ones(maps) if (mask == 1).all() else _finish(mask, settings)


def clip_mask(maps: Array, settings: MaskSettings, general: Array | None = None) -> Mask:
    """Merge CLIP's two maps into a mask: METHOD.md section 3, with the steps of RECIPES.md.

    Its maps are signed and of any scale, so that the steps which are about attention (`relative`,
    `denoise`) are not defined for them; options refuse them.

    Args:
        maps: (2, h, w) float32, the cls map A and the patch map P, any scale.
        settings: which steps are taken, and how.
        general: not used.

    Raises:
        ValueError: where a map holds NaN or infinity.
    """
    if _is_flat(_finite(maps)):
        return _all_ones(maps)
    cls_map, patch_map = maps
    c = _smoothed(_enhanced(minmax(cls_map), settings), settings)
    q = _smoothed((patch_map.max() - patch_map) / (patch_map.max() - patch_map.min()), settings)
    merged = c + q - c * q
    return _all_ones(maps) if _is_flat(merged[None]) else _finish(minmax(merged), settings)


def _relative(maps: Array, general: Array | None, settings: MaskSettings) -> Array:
    if settings.relative == "none":
        return maps
    if general is None:
        raise ValueError(f"relative {settings.relative!r} needs the map of a general question")
    compare = {"ratio": steps.ratio, "difference": steps.difference}[settings.relative]
    return compare(maps, _finite(general))


def _denoised(maps: Array, settings: MaskSettings) -> Array:
    return maps if settings.denoise is None else steps.denoise(maps[0], settings.denoise)[None]


def _enhanced(m: Array, settings: MaskSettings) -> Array:
    return m if settings.enhance_coe is None else enhance(m, settings.enhance_coe)


def _smoothed(m: Array, settings: MaskSettings) -> Array:
    """A mean filter's outcome, or a Gaussian's brought to [0, 1] again; ones where that is flat."""
    if settings.smooth is None:
        return steps.smooth(m, settings.kernel_size)
    m = steps.gaussian(m, settings.smooth)
    return np.ones_like(m) if np.ptp(m) <= _FLAT else minmax(m)


def _finish(mask: Array, settings: MaskSettings) -> Mask:
    """The last steps: what is left at least, then what is kept at all."""
    floored = steps.raise_floor(mask, settings.floor) if settings.floor else mask
    if settings.keep is None:
        return Mask(floored, flat=False)
    kept = steps.brightest(mask, *settings.keep)
    return Mask(np.where(kept, floored, np.float32(0)), flat=False, kept=kept)


def _finite(maps: Array) -> Array:
    if not np.isfinite(maps).all():
        raise ValueError("the relevance map holds NaN or infinity; try --precision fp32")
    return maps


def _is_flat(maps: Array) -> bool:
    """Whether any of the maps (M, h, w) has the same value everywhere."""
    return bool((maps.max(axis=(-2, -1)) == maps.min(axis=(-2, -1))).any())


def _all_ones(maps: Array) -> Mask:
    return Mask(np.ones(maps.shape[-2:], dtype=np.float32), flat=True)
