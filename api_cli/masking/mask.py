"""From a relevance map to a mask on the patch grid: METHOD.md section 3.

Pure functions over float32 arrays of shape (..., h, w), h x w being the patch grid or the part of
it that shows the image. NumPy does, so that masks made from kept maps need no torch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Mask(NamedTuple):
    """A mask on the patch grid.

    Attributes:
        values: (h, w) float32 in [0, 1]; 1 keeps the image, 0 fades it.
        flat: whether a map told no patch from another, so that `values` are all ones.
    """

    values: Array
    flat: bool


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


def smooth(m: Array, kernel_size: int) -> Array:
    """k x k mean filter over a map (h, w), edges replicated; `kernel_size` k is odd."""
    padded = np.pad(m, kernel_size // 2, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel_size, kernel_size))
    smoothed: Array = windows.mean(axis=(-2, -1), dtype=np.float32)
    return smoothed


def clip_mask(maps: Array, enhance_coe: float, kernel_size: int) -> Mask:
    """Merge CLIP's two maps into a mask (METHOD.md section 3).

    Args:
        maps: (2, h, w) float32, the cls map A and the patch map P, any scale.
        enhance_coe: contrast of the cls map.
        kernel_size: odd width of the mean filter, in patches.

    Raises:
        ValueError: where a map holds NaN or infinity.
    """
    if _is_flat(maps):
        return _all_ones(maps)
    cls_map, patch_map = maps
    c = smooth(enhance(minmax(cls_map), enhance_coe), kernel_size)
    q = smooth((patch_map.max() - patch_map) / (patch_map.max() - patch_map.min()), kernel_size)
    merged = c + q - c * q
    return _all_ones(maps) if _is_flat(merged[None]) else Mask(minmax(merged), flat=False)


def llava_mask(maps: Array, enhance_coe: float, kernel_size: int) -> Mask:
    """Turn LLaVA's attention map, (1, h, w), into a mask; otherwise as `clip_mask`."""
    if _is_flat(maps):
        return _all_ones(maps)
    return Mask(smooth(enhance(minmax(maps[0]), enhance_coe), kernel_size), flat=False)


def _is_flat(maps: Array) -> bool:
    """Whether any of the maps (M, h, w) has the same value everywhere."""
    if not np.isfinite(maps).all():
        raise ValueError("the relevance map holds NaN or infinity; try --precision fp32")
    return bool((maps.max(axis=(-2, -1)) == maps.min(axis=(-2, -1))).any())


def _all_ones(maps: Array) -> Mask:
    return Mask(np.ones(maps.shape[-2:], dtype=np.float32), flat=True)
