"""timm's ViTs with a CLS token: EVA-01, EVA-02, MobileCLIP-B and -L (METHOD.md section 1).

The method is the published one; blocks differ from open_clip's. Of one layer's attention, with
a_h the CLS token's weights and v_h the values, what patch j adds to the CLS token along w is

    A[j] = sum_h a_h[j] v_h[j] . u_h

where u is w scaled by the block's layer scale (`gamma_1`, `ls1`) and pulled back through the output
projection. Queries and keys of the patches are rotated (EVA-02). EVA-02 has a LayerNorm between the
heads and the output projection: its deviation is one scale a picture and its shift a constant, so
what is left of it is u <- gamma u - mean(gamma u), which takes off the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from timm.layers.pos_embed_sincos import apply_rot_embed_cat
from torch import nn

from api_cli.relevance.clip.towers import LayerMaps, of_each, values_along
from api_cli.relevance.clip.towers.positions import Positions, TrunkPositions


class _Projections(NamedTuple):
    """Queries', keys' and values': (H d, D) and (H d,)."""

    W: tuple[torch.Tensor, ...]
    b: tuple[torch.Tensor, ...]


class TimmTower:
    """A timm ViT that ends in its CLS token and a linear head.

    Args:
        visual: open_clip's TimmModel.
    """

    def __init__(self, visual: Any) -> None:
        self._trunk = visual.trunk
        self.positions: Positions = TrunkPositions(visual.trunk)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The tower's blocks."""
        blocks: Sequence[nn.Module] = self._trunk.blocks
        return blocks

    def maps(
        self,
        layer: int,
        x: torch.Tensor,
        y: torch.Tensor,
        text: torch.Tensor,
        owner: torch.Tensor | None = None,
    ) -> LayerMaps:
        """See `Tower`."""
        x, y = x.float(), y.float()
        block: Any = self.blocks[layer]
        w = (text @ self._trunk.head.weight) * self._trunk.norm.weight  # (B, D)
        u, z = _pull_back(block, w), block.norm1(x)
        W, b = _projections(block.attn)
        shape = (block.attn.num_heads, -1)
        q = (z[:, 0] @ W[0].T + b[0]).unflatten(-1, shape)  # (P, H, d), not rotated: no place
        k = (z @ W[1].T + b[1]).unflatten(-1, shape).transpose(1, 2)  # (P, H, T, d)
        logits = torch.einsum("phd,phtd->pht", q, self._rotate(block.attn, k))
        a = (logits / math.sqrt(q.shape[-1])).softmax(dim=-1)
        z, a, y = of_each(owner, z, a, y)
        along = values_along(
            z, u.unflatten(-1, shape), W[2].unflatten(0, shape), b[2].unflatten(0, shape)
        )
        prefix = self._trunk.num_prefix_tokens
        patch_map = torch.einsum("bnd,bd->bn", y[:, prefix:], w)
        return LayerMaps((a * along).sum(dim=1)[:, prefix:], patch_map)

    def _rotate(self, attn: Any, k: torch.Tensor) -> torch.Tensor:
        """Keys (P, H, T, d), those of the patches rotated where the tower does so."""
        rope = getattr(self._trunk, "rope", None)
        if rope is None:
            return k
        prefix = self._trunk.num_prefix_tokens
        half = getattr(attn, "rotate_half", False)
        patches = apply_rot_embed_cat(k[:, :, prefix:], rope.get_embed(), half=half)
        return torch.cat([k[:, :, :prefix], patches], dim=2)


def _pull_back(block: Any, w: torch.Tensor) -> torch.Tensor:
    """u, (B, H d): the text in the residual stream (B, D), where the heads' outputs are."""
    scale = getattr(block, "gamma_1", None)
    if scale is None:
        scale = getattr(getattr(block, "ls1", None), "gamma", None)
    u: torch.Tensor = (w if scale is None else w * scale) @ block.attn.proj.weight
    if isinstance(block.attn.norm, nn.LayerNorm):
        u = u * block.attn.norm.weight
        u = u - u.mean(dim=-1, keepdim=True)
    return u


def _projections(attn: Any) -> _Projections:
    """Of timm's Attention, or its EvaAttention: fused, or one by one and keys without bias."""
    if attn.qkv is None:
        layers = (attn.q_proj, attn.k_proj, attn.v_proj)
        weights = tuple(layer.weight for layer in layers)
        biases = tuple(layer.bias for layer in layers)
    else:
        weights = attn.qkv.weight.chunk(3)
        if getattr(attn, "q_bias", None) is not None:
            biases = (attn.q_bias, attn.k_bias, attn.v_bias)
        else:
            biases = (None,) * 3 if attn.qkv.bias is None else attn.qkv.bias.chunk(3)
    return _Projections(
        weights,
        tuple(
            W.new_zeros(len(W)) if b is None else b for W, b in zip(weights, biases, strict=True)
        ),
    )
