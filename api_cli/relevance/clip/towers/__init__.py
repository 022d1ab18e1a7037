"""Image towers: what one layer makes of a picture, as maps of its patches; a file a reader.

`table.py` says which reader an open_clip configuration needs, and refuses what none can read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from api_cli.relevance.clip.towers.positions import Positions


class LayerMaps(NamedTuple):
    """The two maps of one layer.

    Attributes:
        cls_map: (B, N) float32, any scale: what each patch adds to the CLS token, or to what else
            the tower pools, along the text.
        patch_map: (B, N) float32, any scale: each patch's own similarity to the text.
    """

    cls_map: torch.Tensor
    patch_map: torch.Tensor


class Tower(Protocol):
    """How one kind of image tower is read.

    Attributes:
        blocks: its L blocks, (P, T, D) to (P, T, D); the patches are the last N of T tokens.
        positions: of those patches.
    """

    positions: Positions

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The tower's blocks."""
        ...

    def maps(
        self,
        layer: int,
        x: torch.Tensor,
        y: torch.Tensor,
        text: torch.Tensor,
        owner: torch.Tensor | None = None,
    ) -> LayerMaps:
        """Both maps of one layer.

        Args:
            layer: index of the block, from 0.
            x: (P, T, D) the block's input.
            y: (P, T, D) its output.
            text: (B, E) float32, the normalised embeddings of the questions.
            owner: (B,) int64, the picture of each text; None where text b belongs to picture b.
        """
        ...


class Kind(NamedTuple):
    """A kind of image tower.

    Attributes:
        name: as the manifest and docs/models.md have it.
        read: an open_clip model's `visual` to its reader.
        default_layer: the layer read where nobody says otherwise; negative counts from the end.
        note: what differs from the published method; empty where nothing does.
    """

    name: str
    read: Callable[[Any], Tower]
    default_layer: int
    note: str


def of_each(owner: torch.Tensor | None, *shared: torch.Tensor) -> list[torch.Tensor]:
    """(P, ...) of each picture to (B, ...) of each question."""
    return list(shared) if owner is None else [tensor[owner] for tensor in shared]


def values_along(
    z: torch.Tensor, u: torch.Tensor, W_v: torch.Tensor, b_v: torch.Tensor
) -> torch.Tensor:
    """(B, H, T): values (W_v z + b_v) along u, head by head, without forming them.

    Args:
        z: (B, T, D) the attention's input.
        u: (B, H, d) the text, pulled back through the attention's output projection.
        W_v: (H, d, D).
        b_v: (H, d).
    """
    along = torch.einsum("bnc,bhc->bhn", z, torch.einsum("bhd,hdc->bhc", u, W_v))
    return along + torch.einsum("bhd,hd->bh", u, b_v)[..., None]
