"""What the demo LLaVA is trained to do: see, answer, and look at what the question names.

The decoder's forward pass is spelt out here because the program's own way, one question behind
one image, would compute the image anew for every question and needs no gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from llava_batches import MOST, NO_COLOUR, NO_NOUN, PLACES, SIDES, Batch
from llava_model import GRID, MEAN, RELEVANCE_LAYER, STD
from torch import nn
from transformers import LlavaForConditionalGeneration
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

TOLD_LAYER = RELEVANCE_LAYER + 1  # looks at what the answer names
GROUND = 0.15  # weight of a patch without an object, in the noun's loss
SIGHT = {"noun": 1.0, "colour": 1.0, "place": 1.0, "centre": 4.0, "alike": 0.3}
SIGHT |= {"beside_noun": 0.5, "beside_colour": 0.25}
PARTS = (NO_NOUN + 1, NO_COLOUR + 1, len(PLACES), 2, MOST)
BESIDE = (NO_NOUN + 1, NO_COLOUR + 1)


class Readout(NamedTuple):
    """What the heads read from every patch, each (..., classes)."""

    noun: torch.Tensor
    colour: torch.Tensor
    place: torch.Tensor
    centre: torch.Tensor
    alike: torch.Tensor
    beside_noun: torch.Tensor  # (..., 4, classes)
    beside_colour: torch.Tensor  # (..., 4, classes)


class Sight(nn.Module):
    """Linear heads on patch features, for training alone: what is here, and where.

    What these can read, the decoder's attention can match and copy.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.parts = nn.Linear(width, sum(PARTS))
        self.beside = nn.Linear(width, len(SIDES) * sum(BESIDE))

    def read(self, features: torch.Tensor) -> Readout:
        """Logits (and the centre in [-1, 1]) from features (..., D)."""
        parts = self.parts(features).float().split(PARTS, dim=-1)
        beside = self.beside(features).float().unflatten(-1, (len(SIDES), -1))
        return Readout(*parts, *beside.split(BESIDE, dim=-1))

    def forward(self, features: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Weighted losses on features (B, N, D)."""
        scene, patch, thing = batch.owner.T
        seen = self.read(features[scene, patch])
        nothing = F.linear(
            features, self.parts.weight[: NO_NOUN + 1], self.parts.bias[: NO_NOUN + 1]
        )
        ground = -nothing.float().log_softmax(dim=-1)[..., NO_NOUN]
        total = batch.weight.sum()

        def entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            error = F.cross_entropy(logits.flatten(0, -2), target.flatten(), reduction="none")
            return (error.view(len(patch), -1).mean(dim=1) * batch.weight).sum() / total

        beside = batch.beside[thing]
        distance = (seen.centre - batch.centre[thing]).abs().mean(dim=-1)
        losses = {
            "noun": entropy(seen.noun, batch.noun[thing])
            + GROUND * (ground * batch.ground).sum() / total,
            "colour": entropy(seen.colour, batch.colour[thing]),
            "place": entropy(seen.place, batch.place[thing]),
            "centre": (distance * batch.weight).sum() / total,
            "alike": entropy(seen.alike, batch.alike[thing]),
            "beside_noun": entropy(seen.beside_noun, beside[..., 0]),
            "beside_colour": entropy(seen.beside_colour, beside[..., 1]),
        }
        return {name: SIGHT[name] * value for name, value in losses.items()}


def see(model: LlavaForConditionalGeneration, pixels: torch.Tensor) -> torch.Tensor:
    """Patch features (B, N, D) as the projector gets them, from pixels (B, 3, S, S) uint8."""
    normal = (pixels.float() / 255 - MEAN) / STD
    features: torch.Tensor = model.model.vision_tower(normal).last_hidden_state
    return features[:, 1:]


class Weights(NamedTuple):
    """Weights of the losses beside the answers' own.

    Attributes:
        asked: looking at what the question names, at RELEVANCE_LAYER.
        glance: likewise one layer earlier.
        told: looking at what the answer names, at TOLD_LAYER.
        found: how much of all attention the image gets, at RELEVANCE_LAYER.
        kept: reading from the patches what they show, at RELEVANCE_LAYER.
        first: share of the first pass, which has not seen any of the answer, in these losses;
            the rest goes to all passes alike.
    """

    asked: float = 1.0
    glance: float = 0.0
    told: float = 0.3
    found: float = 0.3
    kept: float = 0.3
    first: float = 0.0


class Answering(NamedTuple):
    """Q questions of T tokens about each of B images.

    Attributes:
        output: (B, Q, T, d) the decoder's normalised output.
        looks: by layer, (B, Q, T, N) float32, attention over image tokens alone, mean over heads.
        found: by layer, (B, Q, T) float32, the image tokens' share of all attention.
        patches: (B, N, d) the image tokens as RELEVANCE_LAYER's attention gets them.
    """

    output: torch.Tensor
    looks: dict[int, torch.Tensor]
    found: dict[int, torch.Tensor]
    patches: torch.Tensor


def answer(
    model: LlavaForConditionalGeneration,
    features: torch.Tensor,
    prefix: torch.Tensor,
    ids: torch.Tensor,
    layers: tuple[int, ...] = (),
) -> Answering:
    """Run the decoder on the prompt's beginning once an image, and on each question behind it.

    Args:
        features: (B, N, D) of the tower.
        prefix: (P,) int64, ids from the first to the last image token.
        ids: (B, Q, T) int64, what follows, padded on the right.
        layers: decoder layers to report attention of.
    """
    decoder: Any = model.model.language_model
    B, Q, T = ids.shape
    P, N = len(prefix), GRID * GRID
    image = model.model.multi_modal_projector(features)
    words = decoder.embed_tokens(prefix[: P - N]).to(image.dtype).expand(B, -1, -1)
    asked = decoder.embed_tokens(ids.flatten(1)).to(image.dtype)
    x = torch.cat([words, image, asked], dim=1)  # (B, P + QT, d)
    place = torch.arange(P + T, device=x.device)
    rotary = decoder.rotary_emb(x, torch.cat([place[:P], place[P:].repeat(Q)])[None])
    future = torch.full((T, T), -torch.inf, device=x.device).triu(1)
    looks, found = {}, {}
    patches = image
    for number, layer in enumerate(decoder.layers):
        attention = layer.self_attn
        normal = layer.input_layernorm(x)
        if number == RELEVANCE_LAYER:
            patches = normal[:, P - N : P]
        q, k, v = (
            project(normal).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        q, k = apply_rotary_pos_emb(q * attention.scaling, k, *rotary)
        q, k, v = (t.to(v.dtype) for t in (q, k, v))
        k_own, v_own = (t[:, :, P:].unflatten(2, (Q, T)) for t in (k, v))
        k, v = k[:, :, :P], v[:, :, :P]
        # Questions see the beginning and themselves, not each other.
        to_image = (q[:, :, P:] @ k.mT).float()  # (B, H, QT, P)
        to_own = (q[:, :, P:].unflatten(2, (Q, T)) @ k_own.mT).float() + future
        weights = torch.cat([to_image, to_own.flatten(2, 3)], dim=-1).softmax(dim=-1).to(v.dtype)
        own = weights[..., P:].unflatten(2, (Q, T)) @ v_own
        mixed = weights[..., :P] @ v + own.flatten(2, 3)
        if number in layers:
            share = weights[..., P - N : P].float().sum(dim=-1)
            found[number] = share.mean(dim=1).unflatten(1, (Q, T))
            looks[number] = to_image[..., P - N :].softmax(dim=-1).mean(dim=1).unflatten(1, (Q, T))
        if number == len(decoder.layers) - 1:
            x = x[:, P:]  # nothing reads the beginning's output
        else:
            first = F.scaled_dot_product_attention(q[:, :, :P], k, v, is_causal=True, scale=1.0)
            mixed = torch.cat([first, mixed], dim=2)
        x = x + attention.o_proj(mixed.transpose(1, 2).flatten(2))
        x = x + layer.mlp(layer.post_attention_layernorm(x))
    return Answering(decoder.norm(x).unflatten(1, (Q, T)), looks, found, patches)


def _looking(look: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of attention (B, Q, T, N) with what is to be looked at (B, Q, N)."""
    area = target.sum(dim=-1, keepdim=True)
    share = target / area.clamp(min=1e-6)
    error = -torch.einsum("bqtn,bqn->bqt", (look + 1e-6).log(), share)
    weight = weight * (area > 0)
    return (error * weight).sum() / weight.sum().clamp(min=1e-6)


def answer_losses(
    model: LlavaForConditionalGeneration,
    features: torch.Tensor,
    prefix: torch.Tensor,
    batch: Batch,
    weights: Weights,
    kept: Sight,
    hold: bool = False,
) -> dict[str, torch.Tensor]:
    """Losses of the answers' tokens, and of where some layers look while they are generated.

    With `hold`, `kept` learns to read and what it reads does not learn from it.
    `kept` reads the patches at the layer to be read, so that what the tower saw (the noun of a
    recoloured thing above all) is not lost on its way through the projector.
    At the layer to be read, absent things turn attention away from the image as a whole.
    """
    glance, read = RELEVANCE_LAYER - 1, RELEVANCE_LAYER
    said = answer(model, features, prefix, batch.ids, (glance, read, TOLD_LAYER))
    where = batch.answers[..., :-1]
    logits = model.lm_head(said.output[:, :, :-1][where]).float()
    answers = batch.answers.float()
    first = answers * (answers.cumsum(dim=-1) == 1)
    every = answers / answers.sum(dim=-1, keepdim=True)
    passes = weights.first * first + (1 - weights.first) * every
    found = said.found[read].clamp(1e-4, 1 - 1e-4)
    there = (batch.asked.amax(dim=-1, keepdim=True) > 0).float().expand_as(found)
    patches = said.patches.float()
    read_off = kept(patches.detach() if hold else patches, batch)
    losses = {f"kept_{name}": weights.kept * value for name, value in read_off.items()}
    turned = -(there * found.log() + (1 - there) * (1 - found).log())
    turned = (turned * passes).sum() / passes.sum()
    return losses | {
        "answer": F.cross_entropy(logits, batch.ids[..., 1:][where]),
        "asked": weights.asked * _looking(said.looks[read], batch.asked, passes),
        "glance": weights.glance * _looking(said.looks[glance], batch.asked, passes),
        "told": weights.told * _looking(said.looks[TOLD_LAYER], batch.told, passes),
        "found": weights.found * turned,
    }
