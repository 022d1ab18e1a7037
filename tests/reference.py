"""METHOD.md, evaluated literally and slowly in float64, sharing no code with the program.

CLIP: full softmax attention in every block, every head's contribution formed, every constant of
the final LayerNorm kept as the authors' program keeps it. LLaVA: full softmax attention head by
head, every pass over the whole sequence again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image, ImageOps
from transformers import AutoTokenizer, LlavaForConditionalGeneration

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class ReferenceClip:
    """A checkpoint folder's CLIP in float64, one image at a time."""

    def __init__(self, folder: Path) -> None:
        self.model, self.preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        self.model = self.model.double().eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
        self.size = self.model.visual.image_size[0]
        self.grid = self.model.visual.grid_size[0]

    def pixels(self, image: Image.Image, fit: str) -> torch.Tensor:
        """(1, 3, S, S), as METHOD.md section 7 has the fit."""
        if fit == "paper":
            return self.preprocess(image)[None].double()
        return normalised(padded(image) if fit == "pad" else image, self.size)

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


def padded(image: Image.Image) -> Image.Image:
    """Centred on a square of the mean colour."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), tuple(int(m * 255) for m in MEAN))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def normalised(image: Image.Image, size: int) -> torch.Tensor:
    """(1, 3, size, size), the whole image."""
    small = image.resize((size, size), Image.Resampling.BICUBIC)
    levels = np.asarray(small, dtype=np.float64) / 255
    return torch.from_numpy((levels - np.array(MEAN)) / np.array(STD)).permute(2, 0, 1)[None]


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


class ReferenceLlava:
    """A LLaVA folder in float64, one sample at a time, without a cache."""

    def __init__(self, folder: Path) -> None:
        loaded = LlavaForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
        self.model = loaded.double().eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.config = self.model.config
        self.size = self.config.vision_config.image_size
        self.grid = self.size // self.config.vision_config.patch_size
        end = self.model.generation_config.eos_token_id
        self.end = set(end) if isinstance(end, list) else {end}

    def pixels(self, image: Image.Image, fit: str) -> torch.Tensor:
        """(1, 3, S, S): padded to a square with the mean colour (unless squashed), resized."""
        return normalised(image if fit == "squash" else padded(image), self.size)

    @torch.no_grad()
    def answer(
        self, pixels: torch.Tensor, prompt: str, max_new_tokens: int
    ) -> tuple[list[int], list[list[np.ndarray]]]:
        """Tokens of the greedy answer, and for every pass and layer a map (G, G)."""
        ids = self.tokenizer(prompt.replace("<image>", "<image>" * self.grid**2))["input_ids"]
        tokens: list[int] = []
        maps = []
        while len(tokens) < max_new_tokens and (not tokens or tokens[-1] not in self.end):
            logits, maps_of_pass = self.forward(pixels, torch.tensor(ids + tokens))
            maps.append(maps_of_pass)
            tokens.append(int(logits.argmax()))
        return tokens, maps

    def forward(
        self, pixels: torch.Tensor, ids: torch.Tensor
    ) -> tuple[torch.Tensor, list[np.ndarray]]:
        """Logits of the next token, and every layer's map of this pass."""
        is_image = ids == self.config.image_token_id
        text, language = self.config.text_config, self.model.model.language_model
        x = language.embed_tokens(ids)
        tower = self.model.model.vision_tower(pixels, output_hidden_states=True)
        features = tower.hidden_states[self.config.vision_feature_layer][0, 1:]
        x[is_image] = self.model.model.multi_modal_projector(features)

        heads, shared = text.num_attention_heads, text.num_key_value_heads
        d = language.layers[0].self_attn.head_dim
        theta = text.rope_parameters["rope_theta"]
        length = len(ids)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        maps = []
        for layer in language.layers:
            z = rms_norm(layer.input_layernorm, x)
            attn = layer.self_attn
            q = rotate(attn.q_proj(z).view(length, heads, d), theta)
            k = rotate(attn.k_proj(z).view(length, shared, d), theta)
            v = attn.v_proj(z).view(length, shared, d)
            attended, looks = [], []
            for h in range(heads):
                s = h // (heads // shared)
                logits = q[:, h] @ k[:, s].T / math.sqrt(d)
                looks.append(logits[-1, is_image].softmax(dim=-1))
                weights = logits.masked_fill(future, -math.inf).softmax(dim=-1)
                attended.append(weights @ v[:, s])
            maps.append(torch.stack(looks).mean(dim=0).view(self.grid, self.grid).numpy())
            x = x + attn.o_proj(torch.cat(attended, dim=-1))
            z = rms_norm(layer.post_attention_layernorm, x)
            gate = layer.mlp.gate_proj(z)
            x = x + layer.mlp.down_proj(gate * gate.sigmoid() * layer.mlp.up_proj(z))
        return self.model.lm_head(rms_norm(language.norm, x[-1])), maps


def rms_norm(norm: Any, x: torch.Tensor) -> torch.Tensor:
    return x / ((x**2).mean(dim=-1, keepdim=True) + norm.variance_epsilon).sqrt() * norm.weight


def rotate(x: torch.Tensor, theta: float) -> torch.Tensor:
    """Rotary positions of (T, H, d): dimension i turns with dimension i + d/2."""
    length, _, d = x.shape
    position = torch.arange(length, dtype=torch.float64)[:, None]
    angle = position * theta ** (-2 * torch.arange(d // 2, dtype=torch.float64) / d)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def llava_mask(a: np.ndarray, coe: float, k: int) -> np.ndarray:
    a = (a - a.min()) / (a.max() - a.min())
    return smooth(1 / (1 + np.exp(-coe * (a - a.mean()) / a.std(ddof=1))), k)


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
    """Upright, and over white paper."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode != "RGBA":
        return image.convert("RGB")
    levels = np.asarray(image, dtype=np.float64)
    share = levels[..., 3:] / 255
    return Image.fromarray(np.rint(levels[..., :3] * share + 255 * (1 - share)).astype(np.uint8))


# primaries by column in XYZ, adapted to D50, as profiles have them
SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))
ADOBE_RGB = ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457))
DISPLAY_P3 = ((0.51512, 0.29198, 0.1571), (0.2412, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407))


def to_srgb(
    colours: np.ndarray, primaries: tuple, linear: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Colours (..., 3) of other primaries and another curve, 0 to 255, in sRGB."""
    light = linear(colours / 255) @ np.array(primaries).T @ np.linalg.inv(np.array(SRGB)).T
    return np.rint(255 * srgb_curve(light.clip(0, 1))).astype(np.uint8)


def srgb_curve(light: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB's levels in [0, 1]."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_light(levels: np.ndarray) -> np.ndarray:
    """The inverse of `srgb_curve`."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
