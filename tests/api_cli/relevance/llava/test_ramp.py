"""Where each family's image tokens come from, found out from the model itself.

A picture whose red is x and whose green is y goes through the model's own processor. Patches do
not mix, since the tower's attention puts out nothing; so the pixels on which an image token's
embedding depends are those of its cell, and their colours say where in the picture they are.
"""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image

from api_cli.relevance.llava.vlm import VlmRelevance
from api_cli.relevance.llava.vlm_checkpoint import VlmCheckpoint
from tests.tiny_vlms import PATCH, SETUPS

pytestmark = [
    pytest.mark.model,
    # the processors' own, with an older numpy or transformers
    pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning"),
]

SIZES = [(97, 61), (61, 113), (128, 128), (211, 45), (40, 37)]
_MIXES = re.compile(
    r"(vision|visual).*\.(attn|self_attn|attention)\.(proj|o_proj|out_proj|projection_layer|wo)\."
)
_TOKENS_A_VIEW = 7


class _Stop(Exception):
    pass


def ramp(size):
    width, height = size
    y, x = np.mgrid[:height, :width]
    levels = [255 * (x + 0.5) / width, 255 * (y + 0.5) / height, np.full(x.shape, 255)]
    return Image.fromarray(np.stack(levels, axis=-1).round().astype(np.uint8))


def colours(pixels, processor):
    """Pixels (..., 3), red, green and blue in [0, 1], of whatever layout `pixel_values` has."""
    if pixels.ndim == 2:  # patches of two equal frames
        pixels = pixels.reshape(len(pixels), 3, 2, PATCH, PATCH).permute(0, 2, 3, 4, 1)
    elif pixels.ndim == 3:
        pixels = pixels.reshape(*pixels.shape[:2], PATCH, PATCH, 3)
    else:
        pixels = pixels.movedim(-3, -1)
    return pixels


def embeddings(model, block, pixels):
    """What the language model is given for a prompt with the block alone, (T, D), and the patches.

    These are what embeddings are weighted means of, where a family makes them so.
    """
    given = {}

    def hook(_, __, arguments):
        given["x"] = arguments["inputs_embeds"]
        raise _Stop

    def note(_, __, made):
        given["patches"] = made

    handles = [model._decoder.register_forward_pre_hook(hook, with_kwargs=True)]
    if hasattr(model.model.config, "vision_aspect_ratio"):  # LLaVA-OneVision shrinks its grid
        handles.append(model.model.model.multi_modal_projector.register_forward_hook(note))
    try:
        with suppress(_Stop):
            ids = torch.tensor([block.ids])
            kinds = {name: torch.tensor([values]) for name, values in block.kinds.items()}
            model.model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                **kinds,
                **{**block.tensors, "pixel_values": pixels},
            )
    finally:
        for handle in handles:
            handle.remove()
    return given["x"][0], given.get("patches")


def worst_error(model, size):
    """The largest distance, in cells, of a token's pixels from where its view has it."""
    images = model._blocks._processor.image_processor
    block = model._blocks.read(ramp(size))
    pixels = block.tensors["pixel_values"].clone().requires_grad_()
    x, patches = embeddings(model, block, pixels)
    direction = torch.linspace(-1, 1, x.shape[1]).sin()
    alone = None  # slopes of each patch for itself
    if patches is not None:
        [alone] = torch.autograd.grad((patches @ direction).sum(), pixels, retain_graph=True)
    levels = colours(pixels.detach(), images)
    levels = levels * torch.tensor(images.image_std) + torch.tensor(images.image_mean)
    worst = 0.0
    for tokens, (x0, y0, x1, y1) in block.views:
        h, w = tokens.shape
        picked = {0, h * w - 1, *np.linspace(0, h * w - 1, _TOKENS_A_VIEW).astype(int).tolist()}
        for row, column in (divmod(n, w) for n in picked):
            place = block.places[tokens[row, column]]
            [slope] = torch.autograd.grad(x[place] @ direction, pixels, retain_graph=True)
            weight = colours(slope, images).abs().amax(-1)
            seen = (weight > 0) & (levels[..., 2] > 0.9)  # blue is the picture, not its padding
            share = torch.ones_like(weight)
            if alone is not None:  # which share of the mean its patch has
                share = weight / colours(alone, images).abs().amax(-1)
            share = share[seen][:, None]
            found = ((share * levels[seen][:, :2]).sum(dim=0) / share.sum()).numpy()
            size_of_cell = np.array([(x1 - x0) / w, (y1 - y0) / h])
            low = np.array([x0, y0]) + size_of_cell * [column, row]
            high = np.clip(low + size_of_cell, 0, 1)
            expected = (np.clip(low, 0, 1) + high) / 2
            worst = max(worst, float((np.abs(found - expected) / size_of_cell).max()))
    return worst


@pytest.mark.parametrize("setup", SETUPS)
def test_every_token_lies_where_its_view_has_it(setup, vlm):
    model = vlm(setup)
    weights = dict(model.model.named_parameters())
    mixing = {name: weight.clone() for name, weight in weights.items() if _MIXES.search(name)}
    assert mixing
    try:
        for name in mixing:
            weights[name].zero_()
        errors = {size: worst_error(model, size) for size in SIZES}
    finally:
        for name, weight in mixing.items():
            weights[name].copy_(weight)
    assert max(errors.values()) < 0.05, errors


def test_a_grid_that_is_not_shrunk_lies_where_its_view_has_it(vlm_folder):
    model = VlmRelevance(VlmCheckpoint(str(vlm_folder("llava_onevision"))))
    for knows in (model.model.config, model._blocks._config, model._blocks._processor):
        knows.vision_aspect_ratio = "anyres_max_9"
    for name, weight in model.model.named_parameters():
        if _MIXES.search(name):
            weight.zero_()
    assert max(worst_error(model, size) for size in SIZES) < 0.05
