"""open_clip's ViT: the CLS token (METHOD.md section 1), or CLIPA's average of the patches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from open_clip.transformer import LayerScale
from torch import nn

from api_cli.relevance.clip.towers import LayerMaps, of_each, values_along
from api_cli.relevance.clip.towers.positions import OwnPositions, Positions


class _Queries(NamedTuple):
    """What attention weights are made of: W_q, W_k (H, d, D) and b_q (H, d)."""

    W_q: torch.Tensor
    b_q: torch.Tensor
    W_k: torch.Tensor


def class_row(z: torch.Tensor, attention: _Queries) -> torch.Tensor:
    """(P, H, 1+N): attention of the CLS token to every token, itself included.

    Keys are never formed: q . (W_k z) is computed as (W_k^T q) . z, head by head.
    """
    W_q, b_q, W_k = attention
    q = (z[:, 0] @ W_q.flatten(0, 1).T + b_q.flatten()).unflatten(-1, W_q.shape[:2])  # (P, H, d)
    # q . b_k is the same for every token, so softmax drops it
    logits = torch.einsum("bnc,bhc->bhn", z, torch.einsum("bhd,hdc->bhc", q, W_k))
    return (logits / math.sqrt(q.shape[-1])).softmax(dim=-1)


def mean_row(z: torch.Tensor, attention: _Queries) -> torch.Tensor:
    """(P, H, 1+N): attention to every token, averaged over the patches as queries.

    A head at a time: of all heads at once the N x N weights would not fit on a GPU.
    """
    rows = []
    for W_q, b_q, W_k in zip(*attention, strict=True):
        q = z[:, 1:] @ W_q.T + b_q  # (P, N, d)
        logits = q @ (z @ W_k.T).mT / math.sqrt(q.shape[-1])
        rows.append(logits.softmax(dim=-1).mean(dim=1))
    return torch.stack(rows, dim=1)


def layer_maps(
    block: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    w: torch.Tensor,
    owner: torch.Tensor | None = None,
    row: Callable[[torch.Tensor, _Queries], torch.Tensor] = class_row,
) -> LayerMaps:
    """The maps A and P of METHOD.md section 1 for one block.

    The cls map needs one row of attention, and values only along w; so values are never formed:
    (W z) . u is computed as z . (W^T u), head by head. Attention does not depend on the text, so
    it is computed once a picture.

    Args:
        block: residual attention block L.
        x: (P, 1+N, D) its input, CLS at 0.
        y: (P, 1+N, D) its output.
        w: (B, D) the text in the residual stream.
        owner: (B,) int64, the picture of each text; None where text b belongs to picture b.
        row: the row of attention: of the CLS token, or averaged over the patches.
    """
    x, y = x.float(), y.float()
    attn: Any = block.attn
    heads: int = attn.num_heads
    W_q, W_k, W_v = (
        W.unflatten(0, (heads, -1)) for W in attn.in_proj_weight.float().chunk(3)
    )  # (H, d, D) each
    b_q, _, b_v = (b.unflatten(0, (heads, -1)) for b in attn.in_proj_bias.float().chunk(3))
    if isinstance(block.ls_1, LayerScale):
        u = (w * block.ls_1.gamma.float()) @ attn.out_proj.weight.float()
    else:
        u = w @ attn.out_proj.weight.float()
    u = u.unflatten(-1, (heads, -1))  # (B, H, d), u_h = W_h^T w

    ln_1: Any = block.ln_1
    z = nn.functional.layer_norm(
        x, ln_1.normalized_shape, ln_1.weight.float(), ln_1.bias.float(), ln_1.eps
    )
    a = row(z, _Queries(W_q, b_q, W_k))  # (P, H, 1+N), over CLS as well
    z, a, y = of_each(owner, z, a, y)  # (B, ...)
    cls_map = (a * values_along(z, u, W_v, b_v)).sum(dim=1)[:, 1:]
    patch_map = torch.einsum("bnd,bd->bn", y[:, 1:], w)
    return LayerMaps(cls_map, patch_map)


class OpenClipTower:
    """A ViT of open_clip's own that ends in the CLS token or in the average of the patches.

    Args:
        visual: open_clip's VisionTransformer.
        row: the row of attention that its embedding is made of.
    """

    def __init__(
        self, visual: Any, row: Callable[[torch.Tensor, _Queries], torch.Tensor] = class_row
    ) -> None:
        self._visual = visual
        self._row = row
        self.positions: Positions = OwnPositions(visual)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """The tower's blocks."""
        blocks: Sequence[nn.Module] = self._visual.transformer.resblocks
        return blocks

    def maps(
        self,
        layer: int,
        x: torch.Tensor,
        y: torch.Tensor,
        text: torch.Tensor,
        owner: torch.Tensor | None = None,
    ) -> LayerMaps:
        """See `Tower`.

        CLIPA averages the patches before the final LayerNorm, so what patch j adds to what is
        pooled is A[j] = sum_h mean_i a_h[i, j] (W_h v_h[j]) . w, i over the patches as queries.
        """
        # w = gamma * (proj @ t): the text, pulled back into the residual stream
        w = (text @ self._visual.proj.float().T) * self._visual.ln_post.weight.float()  # (B, D)
        return layer_maps(self.blocks[layer], x, y, w, owner, self._row)
