"""The towers' equations, evaluated literally and slowly in float64: every vector is formed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn


def literal_maps(model: Any, name: str, pixels: torch.Tensor, text: torch.Tensor, layer: int):
    """Cls or pool map and patch map, (N,) each, float64.

    Args:
        model: open_clip's, in float64.
        name: of tiny_towers'.
        pixels: (1, 3, S, S).
        text: (E,) normalised.
        layer: index of the block.
    """
    visual = model.visual
    blocks = visual.trunk.blocks if hasattr(visual, "trunk") else visual.transformer.resblocks
    seen: dict[str, torch.Tensor] = {}
    handle = blocks[layer].register_forward_hook(
        lambda _, inputs, output: seen.update(x=inputs[0][0], y=output[0])
    )
    visual(pixels)
    handle.remove()
    x, y = seen["x"], seen["y"]
    if name.startswith("coca"):
        return coca(visual, y, text)
    if name in ("cls", "clipa"):
        return own(visual, blocks[layer], x, y, text, average=name == "clipa")
    if visual.trunk.attn_pool is not None:
        return timm_pool(visual, y, text)
    return timm_cls(visual, blocks[layer], x, y, text)


def own(visual: Any, block: Any, x, y, text, average: bool):
    """A block of open_clip's: contributions of tokens to the CLS token, or to the patches' mean."""
    z, attn = block.ln_1(x), block.attn
    d = z.shape[1] // attn.num_heads
    q, k, v = (z @ attn.in_proj_weight.T + attn.in_proj_bias).chunk(3, dim=1)
    given = torch.zeros_like(x)  # by token, (1+N, D)
    for h in range(attn.num_heads):
        part = slice(h * d, (h + 1) * d)
        a = (q[:, part] @ k[:, part].T / math.sqrt(d)).softmax(dim=1)  # (1+N, 1+N)
        row = a[1:].mean(dim=0) if average else a[0]
        given += row[:, None] * (v[:, part] @ attn.out_proj.weight[:, part].T)
    whole = block.attention(z[None])[0]
    pooled = whole[1:].mean(dim=0) if average else whole[0]
    torch.testing.assert_close(given.sum(dim=0) + attn.out_proj.bias, pooled)
    return [final(visual.ln_post, one) @ visual.proj @ text for one in (given[1:], y[1:])]


def timm_cls(visual: Any, block: Any, x, y, text):
    """A block of timm's: contributions of tokens to the CLS token."""
    trunk, attn = visual.trunk, block.attn
    z = block.norm1(x)
    if attn.qkv is None:
        q, k, v = attn.q_proj(z), attn.k_proj(z), attn.v_proj(z)
    else:
        q, k, v = attn.qkv(z).chunk(3, dim=1)
        if getattr(attn, "q_bias", None) is not None:
            q, v = q + attn.q_bias, v + attn.v_bias
    d = q.shape[1] // attn.num_heads
    parts = [slice(h * d, (h + 1) * d) for h in range(attn.num_heads)]
    rope = getattr(trunk, "rope", None)
    heads = torch.zeros(len(z), q.shape[1], dtype=z.dtype)  # what each token gives, head by head
    for part in parts:
        keys = k[:, part]
        if rope is not None:
            sin, cos = rope.get_embed().chunk(2, dim=1)
            keys = torch.cat([keys[:1], rotated(keys[1:], sin, cos)])
        a = (q[0, part] @ keys.T / math.sqrt(d)).softmax(dim=0)
        heads[:, part] = a[:, None] * v[:, part]
    cls = heads.sum(dim=0)
    given = heads
    if isinstance(attn.norm, nn.LayerNorm):  # its mean and deviation are the CLS token's
        mean, std = cls.mean(), (cls.var(unbiased=False) + attn.norm.eps).sqrt()
        shares = heads.mean(dim=1, keepdim=True)  # of the mean, by token
        torch.testing.assert_close(shares.sum(), mean)
        given = attn.norm.weight * (heads - shares) / std
    scale = getattr(block, "gamma_1", None)
    if scale is None:
        scale = getattr(getattr(block, "ls1", None), "gamma", 1.0)
    kwargs = {} if rope is None else {"rope": rope.get_embed()}
    bias = attn.proj(attn.norm.bias if isinstance(attn.norm, nn.LayerNorm) else 0 * cls)
    torch.testing.assert_close((given @ attn.proj.weight.T).sum(dim=0) + bias,
                               attn(z[None], **kwargs)[0, 0])  # fmt: skip
    given = scale * (given @ attn.proj.weight.T)
    return [final(trunk.norm, one[1:]) @ trunk.head.weight.T @ text for one in (given, y)]


def timm_pool(visual: Any, y, text):
    """timm's AttentionPoolLatent: each token's part, and the pool on each patch alone."""
    trunk, pool = visual.trunk, visual.trunk.attn_pool
    z = trunk.norm(y)
    k, v = pool.kv(z).chunk(2, dim=1)
    parts = by_token(pool.q(pool.latent[0])[0], k, v, pool.num_heads, pool.proj.weight)
    p = parts.sum(dim=0) + pool.proj.bias

    def embed(pooled):
        return visual.head(trunk.head(pooled + pool.mlp(pool.norm(pooled))))

    torch.testing.assert_close(embed(p), visual.head(trunk.head(pool(z[None])[0])))
    step = 1e-5  # what a patch adds to e . t, as a difference
    added = torch.stack([(embed(p + step * c) - embed(p - step * c)) @ text for c in parts])
    alone = torch.stack([visual.head(trunk.head(pool(one[None, None])[0])) @ text for one in z])
    prefix = trunk.num_prefix_tokens
    return [added[prefix:] / (2 * step), alone[prefix:]]


def coca(visual: Any, y, text):
    """open_clip's AttentionalPooler, its first query."""
    pooler, attn = visual.attn_pool, visual.attn_pool.attn
    z, width = pooler.ln_k(y), visual.attn_pool.attn.embed_dim
    b_q, b_k, b_v = attn.in_proj_bias.chunk(3)
    if attn.in_proj_weight is None:
        W_q, W_k, W_v = attn.q_proj_weight, attn.k_proj_weight, attn.v_proj_weight
    else:
        W_q, W_k, W_v = attn.in_proj_weight.split(width)
    q = W_q @ pooler.ln_q(pooler.query[0]) + b_q
    parts = by_token(q, z @ W_k.T + b_k, z @ W_v.T + b_v, attn.num_heads, attn.out_proj.weight)
    p = parts.sum(dim=0) + attn.out_proj.bias
    torch.testing.assert_close(p, pooler(y[None])[0, 0])
    mean, std = p.mean(), (p.var(unbiased=False) + visual.ln_post.eps).sqrt()
    alone = torch.stack([pooler(one[None, None])[0, 0] for one in y])
    return [
        (visual.ln_post.weight * (one - mean) / std) @ visual.proj @ text
        for one in (parts[1:], alone[1:])
    ]


def by_token(q, k, v, heads: int, W) -> torch.Tensor:
    """What each token gives to one query's attention: (T, D)."""
    d = len(q) // heads
    given = torch.zeros(len(k), len(W), dtype=k.dtype)
    for h in range(heads):
        part = slice(h * d, (h + 1) * d)
        a = (k[:, part] @ q[part] / math.sqrt(d)).softmax(dim=0)
        given = given + a[:, None] * (v[:, part] @ W[:, part].T)
    return given


def rotated(k, sin, cos):
    """Pairs of neighbouring channels, turned by each patch's angles."""
    pairs = torch.view_as_complex(k.unflatten(1, (-1, 2)).contiguous())
    turn = torch.complex(cos[:, ::2], sin[:, ::2])
    return torch.view_as_real(pairs * turn).flatten(1)


def final(norm: nn.LayerNorm, vectors: torch.Tensor) -> torch.Tensor:
    """The last norm without its mean and deviation: the same constants for every patch."""
    return vectors * norm.weight


def spread(m: np.ndarray) -> np.ndarray:
    """A map from 0 to 1."""
    return (m - m.min()) / (m.max() - m.min())
