"""What the demo CLIP is trained to do: relevance maps and masks that light the asked object.

The maps are METHOD.md section 1, computed for several questions about one image at once and with
gradients; the mask is its section 3. The program's own code is not used here because it serves
one question an image and needs no gradients; `evaluate_clip.py` measures with the program's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from clip_batches import Batch
from torch import nn

ENHANCE_COE, KERNEL_SIZE = 5.0, 3  # the program's default mask
LAYERS = (-2, -1)  # trained to be read; the program reads -2 unless told otherwise
LAYER_WEIGHT = {-2: 1.0, -1: 0.4}


class Readout(NamedTuple):
    """What one layer offers to be read along a text.

    Attributes:
        added: (B, N, D) what each patch adds to the CLS token.
        output: (B, N, D) each patch's own output.
    """

    added: torch.Tensor
    output: torch.Tensor


def _block(block: Any, x: torch.Tensor, mask: torch.Tensor | None, read: bool) -> tuple[Any, ...]:
    """Run a residual attention block on x (B, L, D); with `read`, also its `added`."""
    heads = block.attn.num_heads
    z = F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias)
    q, k, v = z.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)  # (B, H, L, d) each
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    attention = (logits if mask is None else logits + mask).softmax(dim=-1)
    mixed = (attention.to(v.dtype) @ v).transpose(1, 2).flatten(2)
    added = None
    if read:
        parts = attention[:, :, 0, 1:, None].to(v.dtype) * v[:, :, 1:]  # (B, H, N, d)
        added = F.linear(parts.transpose(1, 2).flatten(2), block.attn.out_proj.weight)
    x = x + block.attn.out_proj(mixed)
    return x + block.mlp(block.ln_2(x)), added


def read_image(model: Any, pixels: torch.Tensor) -> tuple[dict[int, Readout], torch.Tensor]:
    """Read-outs of LAYERS and the image embedding (B, E), from normalised pixels (B, 3, S, S)."""
    visual = model.visual
    x = visual.conv1(pixels).flatten(2).transpose(1, 2)  # (B, N, D)
    cls = visual.class_embedding.to(x.dtype).expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat([cls, x], dim=1) + visual.positional_embedding)
    blocks = list(visual.transformer.resblocks)
    readouts = {}
    for number, block in enumerate(blocks):
        layer = number - len(blocks)
        x, added = _block(block, x, None, layer in LAYERS)
        if added is not None:
            readouts[layer] = Readout(added.float(), x[:, 1:].float())
    return readouts, visual.ln_post(x[:, 0]) @ visual.proj


def encode_text(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Normalised text embeddings (T, E) float32; padding beyond the longest text is left out."""
    end = tokens.argmax(dim=-1)
    tokens = tokens[:, : int(end.max()) + 1]
    length = tokens.shape[1]
    x = model.token_embedding(tokens) + model.positional_embedding[:length]
    for block in model.transformer.resblocks:
        x, _ = _block(block, x, model.attn_mask[:length, :length], False)
    x = model.ln_final(x[torch.arange(len(x)), end]) @ model.text_projection
    return F.normalize(x.float(), dim=-1)


def _minmax(m: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    low = m.masked_fill(~shown, torch.inf).amin(dim=-1, keepdim=True)
    high = m.masked_fill(~shown, -torch.inf).amax(dim=-1, keepdim=True)
    return (m - low) / (high - low + 1e-6)


def _smooth(m: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """Mean filter over maps (T, N), over what is shown alone."""
    grid, r = round(m.shape[-1] ** 0.5), KERNEL_SIZE // 2

    def mean(values: torch.Tensor) -> torch.Tensor:
        square = F.pad(values.unflatten(-1, (1, grid, grid)), (r,) * 4, mode="replicate")
        return F.avg_pool2d(square, KERNEL_SIZE, stride=1).flatten(1)

    weight = shown.float()
    return mean(m * weight) / mean(weight).clamp(min=1 / KERNEL_SIZE**2)


def mask_of(cls_map: torch.Tensor, patch_map: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """The final mask (T, N) in [0, 1] of METHOD.md section 3; `shown` (T, N) leaves padding out."""
    weight = shown.float()
    count = weight.sum(dim=-1, keepdim=True)
    centred = cls_map - (cls_map * weight).sum(dim=-1, keepdim=True) / count
    variance = (centred.square() * weight).sum(dim=-1, keepdim=True) / (count - 1)
    c = _smooth(torch.sigmoid(ENHANCE_COE * centred * (variance + 1e-12).rsqrt()), shown)
    q = _smooth(1 - _minmax(patch_map, shown), shown)
    return _minmax(c + q - c * q, shown)


def _mean(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=1e-6)


class Losses(nn.Module):
    """The training objective, with the few scales that serve it alone and are not shipped."""

    def __init__(self) -> None:
        super().__init__()
        n = len(LAYERS)
        self.patch_scale = nn.Parameter(torch.full((n,), 0.0))
        self.patch_bias = nn.Parameter(torch.full((n,), -2.0))
        self.cls_scale = nn.Parameter(torch.full((n,), 2.0))
        self.match_scale = nn.Parameter(torch.tensor(2.0))
        self.match_bias = nn.Parameter(torch.tensor(-4.0))

    def forward(self, model: Any, pixels: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """The named, weighted losses of a batch; their sum is to be minimised."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            readouts, embedding = read_image(model, pixels)
            text = encode_text(model, batch.tokens)
        w = (text @ model.visual.proj.float().T) * model.visual.ln_post.weight.float()  # (T, D)
        fits = torch.zeros(len(text), *batch.shown.shape)  # (T, B, N)
        question, thing = batch.pairs.T
        fits.index_put_((question, batch.object_image[thing]), batch.cover[thing], accumulate=True)
        fits = fits.clamp(max=1)
        shown = batch.shown[batch.image]  # (T, N)
        losses = {}
        for i, layer in enumerate(LAYERS):
            readout, share = readouts[layer], LAYER_WEIGHT[layer]
            # Minus: the program inverts the patch map, so the asked object has to come out low.
            similarity = torch.einsum("td,bnd->tbn", w, readout.output)
            logits = self.patch_bias[i] - self.patch_scale[i].exp() * similarity
            own = torch.arange(len(text)), batch.image
            losses[f"patch{layer}"] = share * self._patches(logits, fits, batch, own)
            patch_map = similarity[own]
            cls_map = torch.einsum("td,bnd->tbn", w, readout.added)[own]
            losses[f"cls{layer}"] = 0.5 * share * self._cls(cls_map, batch.asked, shown, i)
            mask = mask_of(cls_map, patch_map, shown)
            losses[f"mask{layer}"] = share * self._mask(mask, batch, shown)
        match = F.normalize(embedding.float(), dim=-1) @ text.T  # (B, T)
        present = (fits.amax(dim=-1) > 0).float().T
        logits = self.match_scale.exp() * match + self.match_bias
        losses["match"] = 0.1 * F.binary_cross_entropy_with_logits(logits, present)
        return losses

    def _patches(
        self, logits: torch.Tensor, fits: torch.Tensor, batch: Batch, own: Any
    ) -> torch.Tensor:
        """Each patch of every scene against every question, as yes or no."""
        error = F.binary_cross_entropy_with_logits(logits, fits, reduction="none")
        shown = batch.shown.float()
        missed = _mean(error, fits * shown)
        wrong_elsewhere = _mean(error, (1 - fits) * shown)
        wrong_here = _mean(error[own], (1 - batch.asked) * shown[batch.image])
        wrong_object = _mean(error[own], batch.other)
        return 0.5 * missed + wrong_elsewhere + 0.5 * wrong_here + 0.5 * wrong_object

    def _cls(
        self, cls_map: torch.Tensor, asked: torch.Tensor, shown: torch.Tensor, i: int
    ) -> torch.Tensor:
        """The cls map as a distribution over the asked object, and its correlation with it."""
        logits = (self.cls_scale[i].exp() * cls_map).masked_fill(~shown, -1e4)
        target = asked / asked.sum(dim=-1, keepdim=True)
        entropy = -(target * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
        m = F.normalize(cls_map - cls_map.mean(dim=-1, keepdim=True), dim=-1, eps=1e-6)
        ideal = F.normalize(asked - asked.mean(dim=-1, keepdim=True), dim=-1)
        return entropy + (1 - (m * ideal).sum(dim=-1)).mean()

    def _mask(self, mask: torch.Tensor, batch: Batch, shown: torch.Tensor) -> torch.Tensor:
        """The final mask: bright on what was asked about, dark on other objects and the ground."""
        mask = 0.02 + 0.96 * mask.clamp(0, 1)  # padding's values lie anywhere, and count nothing
        ground = (1 - batch.asked - batch.other).clamp(min=0) * shown
        bright = _mean(-mask.log(), batch.asked)
        dark = -(1 - mask).log()
        return bright + _mean(dark, batch.other) + _mean(dark, ground)
