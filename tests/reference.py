"""METHOD.md, evaluated literally and slowly in float64, sharing no code with the program.

Full softmax attention in every block, every head's contribution formed, every constant of the
final LayerNorm kept as the authors' program keeps it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image, ImageOps


class ReferenceClip:
    """A checkpoint folder's CLIP in float64, one image at a time."""

    def __init__(self, folder: Path) -> None:
        self.model, self.preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        self.model = self.model.double().eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.size = self.model.visual.image_size[0]
        self.grid = self.model.visual.grid_size[0]
        self.mean = (0.48145466, 0.4578275, 0.40821073)
        self.std = (0.26862954, 0.26130258, 0.27577711)

    def pixels(self, image: Image.Image, fit: str) -> torch.Tensor:
        """(1, 3, S, S), as METHOD.md section 7 has the fit."""
        if fit == "paper":
            return self.preprocess(image)[None].double()
        if fit == "pad":
            side = max(image.size)
            square = Image.new("RGB", (side, side), tuple(int(m * 255) for m in self.mean))
            square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
            image = square
        small = image.resize((self.size, self.size), Image.Resampling.BICUBIC)
        levels = np.asarray(small, dtype=np.float64) / 255
        normalised = (levels - np.array(self.mean)) / np.array(self.std)
        return torch.from_numpy(normalised).permute(2, 0, 1)[None]

    @torch.no_grad()
    def maps(
        self, pixels: torch.Tensor, question: str, layers: Iterable[int]
    ) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Cls map and patch map, (G, G) each, with every constant of the last LayerNorm."""
        visual = self.model.visual
        blocks = visual.transformer.resblocks
        text = self.model.encode_text(self.tokenizer([question]))[0]
        text = text / text.norm()

        patches = visual.conv1(pixels).flatten(2).transpose(1, 2)  # (1, N, D)
        x = torch.cat([visual.class_embedding.expand(1, 1, -1), patches], dim=1)
        x = layer_norm(visual.ln_pre, x + visual.positional_embedding)[0]  # (1+N, D)
        tokens, width = x.shape
        read = {}
        for index, block in enumerate(blocks):
            z = layer_norm(block.ln_1, x)
            heads = block.attn.num_heads
            d = width // heads
            qkv = z @ block.attn.in_proj_weight.T + block.attn.in_proj_bias
            q, k, v = qkv.view(tokens, 3, heads, d).permute(1, 2, 0, 3)  # (H, 1+N, d) each
            weights = (q @ k.transpose(1, 2) / math.sqrt(d)).softmax(dim=-1)
            W = block.attn.out_proj.weight.view(width, heads, d)
            contributions = torch.stack(  # per head and token, to CLS: (H, 1+N, D)
                [weights[h, 0, :, None] * (v[h] @ W[:, h].T) for h in range(heads)]
            )
            attended = torch.stack([(weights[h] @ v[h]) @ W[:, h].T for h in range(heads)])
            x = x + attended.sum(dim=0) + block.attn.out_proj.bias
            x = x + block.mlp(layer_norm(block.ln_2, x))
            if index in layers:
                bias = block.attn.out_proj.bias / (heads * tokens)
                read[index] = (contributions + bias, x)

        cls = x[0]
        mean, std = cls.mean(), (cls.var(unbiased=False) + visual.ln_post.eps).sqrt()
        embedding = layer_norm(visual.ln_post, cls) @ visual.proj

        def along_text(vectors: torch.Tensor, share: float) -> torch.Tensor:
            centred = vectors - mean * share
            normed = visual.ln_post.weight * centred / std + visual.ln_post.bias * share
            return normed @ visual.proj @ text / embedding.norm()

        share = 1 / (len(blocks) * heads * tokens)
        shape = (self.grid, self.grid)
        found = {}
        for layer, (contributions, y) in read.items():
            cls_map = along_text(contributions, share).sum(dim=0)[1:]
            patch_map = along_text(y, 1.0)[1:]
            found[layer] = (cls_map.view(shape).numpy(), patch_map.view(shape).numpy())
        return found

    def image_embedding(self, pixels: torch.Tensor) -> torch.Tensor:
        """open_clip's own, to check the literal blocks above against."""
        return self.model.encode_image(pixels)


def layer_norm(norm: torch.nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight + norm.bias


def clip_mask(cls_map: np.ndarray, patch_map: np.ndarray, coe: float, k: int) -> np.ndarray:
    a = (cls_map - cls_map.min()) / (cls_map.max() - cls_map.min())
    c = smooth(1 / (1 + np.exp(-coe * (a - a.mean()) / a.std(ddof=1))), k)
    q = smooth((patch_map.max() - patch_map) / (patch_map.max() - patch_map.min()), k)
    merged = c + q - c * q
    return (merged - merged.min()) / (merged.max() - merged.min())


def smooth(m: np.ndarray, k: int) -> np.ndarray:
    """Every window's sum, one of its k x k cells after the other."""
    rows, columns = m.shape
    row, column = np.indices(m.shape)
    total = np.zeros_like(m)
    for di in range(-(k // 2), k // 2 + 1):
        for dj in range(-(k // 2), k // 2 + 1):
            total += m[np.clip(row + di, 0, rows - 1), np.clip(column + dj, 0, columns - 1)]
    return total / k**2


def part_shown(size: tuple[int, int], grid: int, fit: str) -> tuple[slice, slice, tuple]:
    """Rows and columns of the grid with a piece of the image in them, and its outline in them."""
    if fit != "pad":
        return slice(0, grid), slice(0, grid), (0, 0, grid, grid)
    side = max(size)
    spans = []
    for length in size:
        start = (side - length) // 2
        spans.append((start * grid / side, (start + length) * grid / side))
    (x0, x1), (y0, y1) = spans
    columns, rows = slice(int(x0), math.ceil(x1)), slice(int(y0), math.ceil(y1))
    box = (x0 - columns.start, y0 - rows.start, x1 - columns.start, y1 - rows.start)
    return rows, columns, box


def masked_image(
    image: Image.Image, mask: np.ndarray, filter_name: str, grayscale: int, box: tuple
) -> np.ndarray:
    """(H, W, 3), rounded to the 256 levels that a picture has."""
    m8 = Image.fromarray(np.floor(255 * mask).astype(np.uint8), mode="L")
    m8 = m8.resize(image.size, Image.Resampling[filter_name], box=box)
    share = np.asarray(m8, dtype=np.float64)[..., None] / 255
    return np.rint(np.asarray(image, dtype=np.float64) * share + grayscale * (1 - share))


def as_seen(path: Path) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")
