"""CLIP relevance maps: METHOD.md section 1, for any open_clip ViT with a CLS token."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from open_clip.transform import PreprocessCfg
from open_clip.transformer import LayerScale
from PIL import Image
from torch import nn

from api_cli.options.prompt import without_image_mark
from api_cli.relevance import Prepared, Relevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.clip.transform import Transform
from api_cli.relevance.device import autocast, default_batch_size, fused_attention, pick_device
from api_cli.relevance.sharing import Shared, share_pictures
from api_cli.relevance.square import Square, check_choices

_MAX_CACHED_QUESTIONS = 10_000

_Seen = Mapping[int, tuple[torch.Tensor, torch.Tensor]]  # by layer: input and output, (P, 1+N, D)


class LayerMaps(NamedTuple):
    """The two maps of one layer.

    Attributes:
        cls_map: (B, N) float32, any scale: what each patch adds to the CLS token along the text.
        patch_map: (B, N) float32, any scale: each patch's own similarity to the text.
    """

    cls_map: torch.Tensor
    patch_map: torch.Tensor


class _Last(NamedTuple):
    """The last picture of a batch, about which the next may ask as well."""

    pixels: torch.Tensor
    seen: _Seen


class ClipRelevance:
    """A CLIP model that tells which patches of an image matter for a question.

    Args:
        checkpoint: which model; see `ClipCheckpoint` for what can be had.
        fit: how a rectangle meets the square grid: "paper", "squash" or "pad".
        device: "auto", or anything `torch.device` takes.
        precision: of the forward pass, "fp32", "bf16" or "fp16"; the maps themselves are always
            computed in float32.

    Attributes:
        model: the open_clip model beneath.
        tokenizer: its tokenizer, texts to (B, context length) int64.

    Raises:
        ModelError: where the model cannot be had, loaded, or read by the method.
        UsageError: for a fit, precision or device that does not exist.
    """

    def __init__(
        self,
        checkpoint: ClipCheckpoint,
        *,
        fit: str = "paper",
        device: str = "auto",
        precision: str = "fp32",
    ) -> None:
        check_choices(fit, precision)
        self._device = pick_device(device)
        model = checkpoint.create_model()
        self.model = model.to(self._device).eval().requires_grad_(False)
        self._visual = self.model.visual
        self.tokenizer = checkpoint.create_tokenizer()
        self._precision = precision
        preprocess = PreprocessCfg(**self._visual.preprocess_cfg)
        if fit != "paper":
            preprocess = replace(preprocess, resize_mode="squash")
        self._transform = Transform(preprocess, quick=precision == "bf16")
        self._square = Square(
            fit,
            self.grid,
            preprocess.mean,
            padded_fits=("pad",),
            size=self._transform.size,
            resample=self._transform.resample,
        )
        self._text: dict[str, torch.Tensor] = {}
        self._last: _Last | None = None

    @property
    def number_of_layers(self) -> int:
        """Blocks of the image tower."""
        return len(self._visual.transformer.resblocks)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid."""
        rows, columns = self._visual.grid_size
        return rows, columns

    @property
    def default_batch_size(self) -> int:
        """Images a forward pass, where nobody says otherwise."""
        return default_batch_size(self._device, on_cpu=8)

    def prepare(self, image: Image.Image) -> Prepared:
        """Preprocess an RGB image by the model's own transform and this model's fit."""
        return self._square.prepare(image, self._transform)

    @torch.inference_mode()
    def relevance(
        self, images: Sequence[Prepared], questions: Sequence[str], layers: Sequence[int]
    ) -> list[Relevance]:
        """Both maps of every layer asked for, from one forward pass that stops at the last.

        Images that hold the same pixels, as `prepare` made them once, are one picture: it goes
        through the tower once for all its questions, those of the next batch included.

        Args:
            images: B images from `prepare`.
            questions: B questions; an `<image>` in one is taken out.
            layers: indices of blocks, from 0.

        Returns:
            B times maps (len(layers), 2, h, w), cls map, then patch map; no facts.
        """
        last, self._last = self._last, None
        if last is not None and not last.seen.keys() >= set(layers):
            last = None
        shared = share_pictures(images, None if last is None else last.pixels)
        seen = self._see(shared, last, layers)
        text = self._encode_questions([without_image_mark(q) for q in questions])  # (B, E)
        # w = gamma * (proj @ t): the text, pulled back into the residual stream
        w = (text @ self._visual.proj.float().T) * self._visual.ln_post.weight.float()  # (B, D)

        blocks = self._visual.transformer.resblocks
        owner = None if shared.is_one_each else torch.tensor(shared.owner, device=self._device)
        maps = torch.stack(
            [
                torch.stack(layer_maps(blocks[layer], *seen[layer], w, owner), dim=1)
                for layer in layers
            ],
            dim=1,
        )  # (B, len(layers), 2, N)
        place = shared.owner[-1]
        kept = {
            layer: (x[place, None].clone(), y[place, None].clone())
            for layer, (x, y) in seen.items()
        }
        self._last = _Last(images[-1].pixels, kept)
        return [
            Relevance(self._square.cut(m, image.part), {})
            for m, image in zip(maps.cpu().numpy(), images, strict=True)
        ]

    def _see(self, shared: Shared, last: _Last | None, layers: Sequence[int]) -> _Seen:
        """What the layers make of the pictures; the tower runs on those not just seen."""
        seen: _Seen = {}
        if shared.new:
            pixels = torch.stack(shared.new)
            if self._device.type == "cuda":
                pixels = pixels.pin_memory()
            pixels = pixels.to(self._device, non_blocking=True)
            with (
                _reading(self._visual.transformer.resblocks, layers) as seen,
                fused_attention(self._device),
                autocast(self._device, self._precision),
            ):
                self._visual.forward_intermediates(
                    pixels, indices=[max(layers)], stop_early=True, intermediates_only=True
                )
        if last is None or not shared.knows_first:
            return seen
        if not seen:
            return last.seen
        return {
            layer: (torch.cat([last.seen[layer][0], x]), torch.cat([last.seen[layer][1], y]))
            for layer, (x, y) in seen.items()
        }

    def _encode_questions(self, questions: Sequence[str]) -> torch.Tensor:
        """t: normalised text embeddings (B, E) float32; equal questions are encoded once."""
        if len(self._text) > _MAX_CACHED_QUESTIONS:
            self._text.clear()
        new = [q for q in dict.fromkeys(questions) if q not in self._text]
        if new:
            tokens = self.tokenizer(new).to(self._device)
            with autocast(self._device, self._precision):
                text = self.model.encode_text(tokens)
            text = nn.functional.normalize(text.float(), dim=-1)
            self._text.update(zip(new, text, strict=True))
        return torch.stack([self._text[q] for q in questions])


def layer_maps(
    block: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    w: torch.Tensor,
    owner: torch.Tensor | None = None,
) -> LayerMaps:
    """The maps A and P of METHOD.md section 1 for one block.

    The cls map needs one row of attention, and values only along w; so keys and values are never
    formed: (W z) . u is computed as z . (W^T u), head by head. Attention does not depend on the
    text, so it is computed once a picture.

    Args:
        block: residual attention block L.
        x: (P, 1+N, D) its input, CLS at 0.
        y: (P, 1+N, D) its output.
        w: (B, D) the text in the residual stream.
        owner: (B,) int64, the picture of each text; None where text b belongs to picture b.
    """
    x, y = x.float(), y.float()
    attn: Any = block.attn
    heads: int = attn.num_heads
    W_q, W_k, W_v = attn.in_proj_weight.float().chunk(3)  # (D, D) each
    b_q, _, b_v = attn.in_proj_bias.float().chunk(3)
    if isinstance(block.ls_1, LayerScale):
        u = (w * block.ls_1.gamma.float()) @ attn.out_proj.weight.float()
    else:
        u = w @ attn.out_proj.weight.float()
    u = u.unflatten(-1, (heads, -1))  # (B, H, d), u_h = W_h^T w
    W_k, W_v = W_k.unflatten(0, (heads, -1)), W_v.unflatten(0, (heads, -1))  # (H, d, D)
    b_v = b_v.unflatten(0, (heads, -1))  # (H, d)

    ln_1: Any = block.ln_1
    z = nn.functional.layer_norm(
        x, ln_1.normalized_shape, ln_1.weight.float(), ln_1.bias.float(), ln_1.eps
    )
    q = (z[:, 0] @ W_q.T + b_q).unflatten(-1, (heads, -1))  # (P, H, d), the CLS query
    # q . b_k is the same for every token, so softmax drops it
    logits = torch.einsum("bnc,bhc->bhn", z, torch.einsum("bhd,hdc->bhc", q, W_k))
    a = (logits / math.sqrt(q.shape[-1])).softmax(dim=-1)  # (P, H, 1+N), over CLS as well
    if owner is not None:
        z, a, y = z[owner], a[owner], y[owner]  # (B, ...)
    v_u = torch.einsum("bnc,bhc->bhn", z, torch.einsum("bhd,hdc->bhc", u, W_v))
    v_u = v_u + torch.einsum("bhd,hd->bh", u, b_v)[..., None]  # (W_h v_h[j]) . w

    cls_map = (a * v_u).sum(dim=1)[:, 1:]
    patch_map = torch.einsum("bnd,bd->bn", y[:, 1:], w)
    return LayerMaps(cls_map, patch_map)


@contextmanager
def _reading(
    blocks: Any, layers: Sequence[int]
) -> Iterator[dict[int, tuple[torch.Tensor, torch.Tensor]]]:
    """Note input and output, (B, 1+N, D), of the given blocks during the forward pass within."""
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def note(layer: int) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            seen[layer] = (inputs[0], output)

        return hook

    handles = [blocks[layer].register_forward_hook(note(layer)) for layer in set(layers)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
