"""Where a tower's patches are: positions of its grid, interpolated to others for `--fit native`.

Learnt positions are interpolated by bicubic convolution, as open_clip and timm do for another image
size; rotary ones (EVA-02, PE-Core) are spread over the range they were trained with. What else the
towers are made of, attention pools included, knows no positions. On a tower's own grid nothing
changes, to the last bit.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from open_clip.utils import to_2tuple
from torch import nn


class Positions(Protocol):
    """Of the patches of one tower.

    Attributes:
        own: rows and columns of the grid that the tower was trained with.
        grid: those of the pictures that it expects now.
        patch: height and width of a patch in pixels.
        is_fixed: whether it cannot expect any other than its own.
    """

    own: tuple[int, int]
    grid: tuple[int, int]
    patch: tuple[int, int]
    is_fixed: bool

    def resize(self, grid: tuple[int, int]) -> None:
        """Expect pictures of that many rows and columns of patches from now on."""
        ...


class OwnPositions:
    """Of open_clip's own ViT.

    Args:
        visual: open_clip's VisionTransformer.
    """

    is_fixed = False

    def __init__(self, visual: Any) -> None:
        self._visual = visual
        self._trained: nn.Parameter = visual.positional_embedding  # (1 + N, D)
        self.own: tuple[int, int] = tuple(visual.grid_size)
        self.grid = self.own
        self.patch: tuple[int, int] = to_2tuple(visual.patch_size)

    def resize(self, grid: tuple[int, int]) -> None:
        """See `Positions`."""
        if grid != self.grid:
            self.grid = grid
            self._visual.positional_embedding = _interpolated(self._trained, self.own, grid)


class TrunkPositions:
    """Of one of timm's ViTs: learnt ones, and rotary ones where it has them.

    Args:
        trunk: timm's VisionTransformer or Eva.
    """

    def __init__(self, trunk: Any) -> None:
        self._trunk = trunk
        self._rope: Any = getattr(trunk, "rope", None)
        self._trained: nn.Parameter | None = trunk.pos_embed  # (1, K + N, D)
        self.own: tuple[int, int] = tuple(trunk.patch_embed.grid_size)
        self.grid = self.own
        self.patch: tuple[int, int] = to_2tuple(trunk.patch_embed.feat_ratio(as_scalar=False))
        # without a range that they were trained with, rotary positions of a longer side are new
        self.is_fixed = self._rope is not None and getattr(self._rope, "ref_feat_shape", 0) is None

    def resize(self, grid: tuple[int, int]) -> None:
        """See `Positions`."""
        if grid == self.grid:
            return
        self.grid = grid
        self._trunk.patch_embed.strict_img_size = False
        if self._trained is not None:
            self._trunk.pos_embed = _interpolated(self._trained, self.own, grid)
        if self._rope is not None:
            self._rope.update_feat_shape(list(grid))


def _interpolated(
    trained: nn.Parameter, own: tuple[int, int], grid: tuple[int, int]
) -> nn.Parameter:
    """Positions (..., K + N, D) of a grid, to (..., K + N', D) of another; the first K stay."""
    if grid == own:
        return trained
    first = trained.shape[-2] - math.prod(own)
    whole = trained.detach().reshape(*trained.shape[-2:]).float()
    patches = whole[first:].T.reshape(1, -1, *own)  # (1, D, R, C)
    resized = nn.functional.interpolate(patches, grid, mode="bicubic", antialias=True)
    resized = torch.cat([whole[:first], resized[0].flatten(1).T])
    shape = (*trained.shape[:-2], *resized.shape)
    return nn.Parameter(resized.to(trained.dtype).reshape(shape), requires_grad=False)
