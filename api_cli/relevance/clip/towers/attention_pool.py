"""Towers that pool by attention: SigLIP, SigLIP 2, PE-Core, CoCa. An analogue of the method, ours.

There is no CLS row to read inside such a tower: one learnt query, the same for every picture,
gathers the tokens at its end. Let z be the tokens after the final norm, and per head a_h the
query's attention and v_h the values. What is pooled is a sum over tokens, exactly:

    p = sum_j c_j + b,   c_j = sum_h a_h[j] W_h v_h[j],   embedding e = head(p)

with head(p) = linear(p + MLP(LN(p))) for SigLIP and PE-Core. So

    pool map  A[j] = c_j . w,          w the gradient of e . t at p
    patch map P[j] = t . head(p_j),    p_j = sum_h W_h v_h[j] + b, the query's attention on j alone

SigLIP's scale and bias of the similarity and its sigmoid are monotone, and drop out. CoCa's head is
a LayerNorm and a projection; as in METHOD.md section 1 its mean and deviation are a picture's
constants, so head(p) = proj^T (gamma p). Of a layer before the last, its output goes through the
final norm and the pool as if it were the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

from api_cli.relevance.clip.towers import LayerMaps, of_each, values_along
from api_cli.relevance.clip.towers.positions import OwnPositions, Positions, TrunkPositions


class Pool(NamedTuple):
    """An attention pool's parts.

    Attributes:
        norm: of tokens (..., D) that come into it.
        first: of the tower's tokens, the first that it attends to.
        q: (H, d) the query, head by head.
        W_k: (H, d, D); keys' bias is the same for every token, so softmax drops it.
        W_v: (H, d, D).
        b_v: (H, d).
        W: (D', H d) output projection.
        b: (D',).
        head: what is pooled (..., D') to the embedding (..., E).
    """

    norm: Callable[[torch.Tensor], torch.Tensor]
    first: int
    q: torch.Tensor
    W_k: torch.Tensor
    W_v: torch.Tensor
    b_v: torch.Tensor
    W: torch.Tensor
    b: torch.Tensor
    head: Callable[[torch.Tensor], torch.Tensor]

    def attention(self, z: torch.Tensor) -> torch.Tensor:
        """(P, H, T): the query's attention to tokens z (P, T, D)."""
        logits = torch.einsum("ptc,hc->pht", z, torch.einsum("hd,hdc->hc", self.q, self.W_k))
        return (logits / math.sqrt(self.q.shape[-1])).softmax(dim=-1)

    def project(self, heads: torch.Tensor) -> torch.Tensor:
        """(..., D') from what the heads gathered of z, (..., H, D)."""
        values = torch.einsum("...hc,hdc->...hd", heads, self.W_v) + self.b_v
        return values.flatten(-2) @ self.W.T + self.b

    def gradient(self, p: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """w (B, D'): the gradient of head(p) . text at p (B, D')."""
        # copies, since what is made in inference mode can have no gradient
        with torch.inference_mode(False), torch.enable_grad():
            at = p.clone().requires_grad_()
            (w,) = torch.autograd.grad(self.head(at), at, text.clone())
        return w


class AttentionPoolTower:
    """A tower that ends in an attention pool.

    Args:
        blocks: of the tower.
        positions: of its patches.
        pool: its parts.
    """

    def __init__(self, blocks: Sequence[nn.Module], positions: Positions, pool: Pool) -> None:
        self.blocks = blocks
        self.positions = positions
        self.pool = pool

    def maps(
        self,
        layer: int,
        x: torch.Tensor,
        y: torch.Tensor,
        text: torch.Tensor,
        owner: torch.Tensor | None = None,
    ) -> LayerMaps:
        """See `Tower`; neither the layer nor its input counts, only its output."""
        pool, patches = self.pool, math.prod(self.positions.grid)
        z = pool.norm(y.float())[:, pool.first :]  # (P, T, D)
        a = pool.attention(z)
        p = pool.project(torch.einsum("pht,ptc->phc", a, z))  # (P, D')
        values = torch.einsum("pnc,hdc->pnhd", z[:, -patches:], pool.W_v) + pool.b_v
        alone = pool.head(values.flatten(-2) @ pool.W.T + pool.b)  # (P, N, E)
        z, a, p, alone = of_each(owner, z, a, p, alone)
        u = (pool.gradient(p, text) @ pool.W).unflatten(-1, pool.q.shape)  # (B, H, d)
        pool_map = (a * values_along(z, u, pool.W_v, pool.b_v)).sum(dim=1)
        return LayerMaps(pool_map[:, -patches:], torch.einsum("bne,be->bn", alone, text))


def timm_attention_pool(visual: Any) -> AttentionPoolTower:
    """The reader of open_clip's TimmModel with timm's AttentionPoolLatent."""
    trunk, pool = visual.trunk, visual.trunk.attn_pool
    shape = (pool.num_heads, -1)
    W_k, W_v = pool.kv.weight.chunk(2)
    b_v = pool.kv.bias.chunk(2)[1]
    takes_prefix = getattr(trunk, "pool_include_prefix", True)  # timm's EVA always does

    def head(p: torch.Tensor) -> torch.Tensor:
        p = p + pool.mlp(pool.norm(p))
        embedding: torch.Tensor = visual.head(trunk.head(trunk.fc_norm(p)))
        return embedding

    return AttentionPoolTower(
        trunk.blocks,
        TrunkPositions(trunk),
        Pool(
            norm=trunk.norm,
            first=0 if takes_prefix else trunk.num_prefix_tokens,
            q=pool.q(pool.latent[0, 0]).unflatten(0, shape),
            W_k=W_k.unflatten(0, shape),
            W_v=W_v.unflatten(0, shape),
            b_v=b_v.unflatten(0, shape),
            W=pool.proj.weight,
            b=pool.proj.bias,
            head=head,
        ),
    )


def open_clip_attention_pool(visual: Any) -> AttentionPoolTower:
    """The reader of open_clip's own ViT with its AttentionalPooler: CoCa's.

    Its first query makes the embedding; the others feed the captions.
    """
    attn = visual.attn_pool.attn
    shape = (attn.num_heads, -1)
    if attn.in_proj_weight is None:
        W_q, W_k, W_v = attn.q_proj_weight, attn.k_proj_weight, attn.v_proj_weight
    else:
        W_q, W_k, W_v = attn.in_proj_weight.chunk(3)
    b_q, _, b_v = attn.in_proj_bias.chunk(3)
    query = visual.attn_pool.ln_q(visual.attn_pool.query[0])
    return AttentionPoolTower(
        visual.transformer.resblocks,
        OwnPositions(visual),
        Pool(
            norm=visual.attn_pool.ln_k,
            first=0,
            q=(W_q @ query + b_q).unflatten(0, shape),
            W_k=W_k.unflatten(0, shape),
            W_v=W_v.unflatten(0, shape),
            b_v=b_v.unflatten(0, shape),
            W=attn.out_proj.weight,
            b=attn.out_proj.bias,
            head=lambda p: (p * visual.ln_post.weight) @ visual.proj,
        ),
    )
