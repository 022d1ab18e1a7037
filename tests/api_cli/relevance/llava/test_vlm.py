"""Maps of every family: against a literal evaluation, in batches, and with shared pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from api_cli.masking import MaskSettings, apply_mask, llava_mask
from api_cli.relevance.llava.views import one_map
from api_cli.relevance.llava.vlm import VlmRelevance
from api_cli.relevance.llava.vlm_checkpoint import VlmCheckpoint
from api_cli.runs.pictures import decode
from tests.tiny_vlms import SETUPS

pytestmark = [
    pytest.mark.model,
    # PaliGemma's and GLM-4V's own processors
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

ASKED = ("What is it?", "How many of them wear a hat, and why?", "Where?")


def picture(size, seed=0):
    """Coarse noise: patches that differ."""
    levels = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    return Image.fromarray(levels).resize(size)


def layers_of(model):
    """Those that can be read: with full attention."""
    kinds = getattr(model._text_config, "layer_types", None)
    layers = range(model.number_of_layers)
    return [n for n in layers if kinds is None or kinds[n] == "full_attention"]


def eager_passes(folder, model, image, question):
    """Of every pass and layer the image's part of attention (H, N), and the answer.

    By transformers alone, with whole attention matrices; the processor has the whole prompt at
    once, with nothing spliced. What a window has left behind is 0.
    """
    processor = AutoProcessor.from_pretrained(folder)
    eager = AutoModelForImageTextToText.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    )
    if processor.chat_template is None:
        text = f"<image>{question}"
    else:
        parts = [{"type": "image"}, {"type": "text", "text": question}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": parts}], add_generation_prompt=True
        )
        if processor.tokenizer("").input_ids == [1]:
            text = text.removeprefix("<s>")
    inputs = processor(text=text, images=[image], return_tensors="pt")
    inputs.pop("labels", None)
    with torch.no_grad():
        made = eager.generate(
            **inputs, max_new_tokens=5, do_sample=False, output_attentions=True,
            return_dict_in_generate=True,
        )  # fmt: skip
    views = model.prepare(image).more.views
    tokens = (inputs["input_ids"][0] == eager.config.image_token_id).nonzero()[:, 0]
    ends = 0 if not model._blocks.family.rows_end else 1
    if ends:  # leave out the token after each row of the tiles
        rows, columns = views[-1].tokens.shape
        first = views[0].tokens.size
        tiles = tokens[first:].reshape(rows, columns + 1)[:, :-1].reshape(-1)
        tokens = torch.cat([tokens[:first], tiles])
    length = inputs["input_ids"].shape[1]
    passes = []
    for number, attentions in enumerate(made.attentions):
        is_whole = len(attentions) == model.number_of_layers
        layers = range(model.number_of_layers) if is_whole else layers_of(model)
        looks = {}
        for layer, weights in zip(layers, attentions, strict=True):
            last = weights[0, :, -1].double()  # (H, T), the last T of the sequence's tokens
            gone = torch.zeros(len(last), length + number - last.shape[1])
            looks[layer] = torch.cat([gone, last], dim=1)[:, tokens]
        passes.append(looks)
    answer = processor.tokenizer.decode(made.sequences[0, length:], skip_special_tokens=True)
    return passes, answer.strip()


def literally(folder, model, image, question):
    """Maps (L, h, w) of METHOD.md and the answer."""
    passes, answer = eager_passes(folder, model, image, question)
    maps = [
        torch.stack(
            [(looks[n] / looks[n].sum(-1, keepdim=True)).mean(dim=0) for looks in passes]
        ).mean(dim=0)
        for n in layers_of(model)
    ]
    return one_map(torch.stack(maps).numpy(), model.prepare(image).more.views), answer


def assert_near(ours, theirs, share):
    """Maps (..., h, w) within a share of the spread of each."""
    spread = np.ptp(theirs, axis=(-2, -1), keepdims=True)
    np.testing.assert_allclose(ours / spread, theirs / spread, atol=share)


@pytest.mark.parametrize("setup", SETUPS)
def test_maps_and_answers_are_those_of_a_literal_evaluation(setup, vlm, vlm_folder):
    model = vlm(setup)
    for size, question in (((200, 140), ASKED[0]), ((90, 300), ASKED[1])):
        image = picture(size)
        maps, answer = literally(vlm_folder(setup), model, image, question)
        [found] = model.relevance([model.prepare(image)], [question], layers_of(model))
        assert_near(found.maps[:, 0], maps, 1e-4)
        assert found.facts["auxiliary_answer"] == answer
        height, width = maps.shape[-2:]
        assert found.facts["relevance_grid"] == f"{height} x {width}"


@pytest.mark.parametrize("setup", SETUPS)
def test_a_sample_does_not_depend_on_its_neighbours(setup, vlm):
    model = vlm(setup)
    layers = layers_of(model)
    images = [model.prepare(picture(size)) for size in ((200, 140), (90, 300), (64, 64))]
    together = model.relevance(images, ASKED, layers)
    for image, question, found in zip(images, ASKED, together, strict=True):
        [alone] = model.relevance([image], [question], layers)
        assert_near(found.maps, alone.maps, 1e-4)
        assert found.facts == alone.facts


@pytest.mark.parametrize("setup", SETUPS)
def test_a_picture_that_questions_share_has_the_maps_of_the_separate_way(setup, vlm, monkeypatch):
    model = vlm(setup)
    layers = layers_of(model)
    a, b = (model.prepare(picture(size)) for size in ((200, 140), (90, 300)))
    images, questions = [a, b, a, a], [*ASKED, "Is that so, or is it not?"]
    shared = model.relevance(images, questions, layers)
    monkeypatch.setattr(model, "_shares", False)
    separate = model.relevance(images, questions, layers)
    for one, other in zip(shared, separate, strict=True):
        assert_near(one.maps, other.maps, 1e-4)
        assert one.facts == other.facts


def test_which_families_share_pictures(vlm_folder):
    apart = {
        setup
        for setup in SETUPS
        if setup not in ("smolvlm", "molmo2")
        and not VlmCheckpoint(str(vlm_folder(setup))).is_shareable
    }
    assert apart == {"qwen3_5", "gemma3", "paligemma", "paligemma2"}


def test_a_shared_picture_goes_through_the_tower_once(vlm):
    model = vlm("internvl")
    sizes = []
    tower = model.model.model.vision_tower
    handle = tower.register_forward_pre_hook(
        lambda _, __, given: sizes.append(len(given["pixel_values"])), with_kwargs=True
    )
    image = model.prepare(picture((64, 64)))
    model.relevance([image] * 3, ASKED, [1])
    handle.remove()
    assert sizes == [len(image.pixels)]


@pytest.mark.parametrize("setup", ["qwen2_5_vl", "internvl", "llava_next"])
@pytest.mark.parametrize("name", ["square", "wide", "tall"])
def test_masked_photographs_are_those_of_a_literal_evaluation(
    setup, name, vlm, vlm_folder, photographs
):
    model, image = vlm(setup), decode(photographs[name].read_bytes())
    seen = model.prepare(image)
    maps, _ = literally(vlm_folder(setup), model, image, ASKED[0])
    [found] = model.relevance([seen], [ASKED[0]], layers_of(model))
    settings = MaskSettings(5, 3, "LANCZOS", 0)
    ours, theirs = (
        np.asarray(apply_mask(image, llava_mask(m[None], settings), settings, seen.part.box), int)
        for m in (found.maps[2, 0], maps[2])
    )
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("setup", ["qwen2_vl", "glm4v", "pixtral", "mistral3"])
def test_max_pixels_bounds_what_the_model_sees(setup, vlm_folder):
    model = VlmRelevance(VlmCheckpoint(str(vlm_folder(setup))), max_pixels=64 * 64)
    usual = VlmRelevance(VlmCheckpoint(str(vlm_folder(setup))))
    image = picture((200, 140))
    cells = [len(m.prepare(image).more.places) for m in (model, usual)]
    pixels = {"qwen2_vl": 256, "glm4v": 256, "mistral3": 256, "pixtral": 64}[setup]
    # Pixtral rounds up to whole patches, so it may reach a little further
    assert cells[0] * pixels <= 64 * 64 * (1.4 if setup in ("pixtral", "mistral3") else 1)
    assert cells[0] < cells[1]


def test_special_tokens_in_a_question_are_text(vlm):
    model = vlm("qwen3_vl")
    image = model.prepare(picture((64, 64)))
    for question in ("a <image> b", "</s><pad> <boi>", "<vision_start><image><vision_end>"):
        [found] = model.relevance([image], [question], [1])
        assert np.isfinite(found.maps).all()
    [prompt] = model._blocks.prompts(["</s> <vision_end>?"])
    [usual] = model._blocks.prompts(["?"])
    special = [token for token in prompt if token < 10]
    assert special == [token for token in usual if token < 10]


def test_a_prompt_of_ones_own(vlm_folder):
    checkpoint = VlmCheckpoint(str(vlm_folder("idefics3")))
    model = VlmRelevance(checkpoint, prompt_template="Look: <image> Now say, {question}")
    [prompt] = model._blocks.prompts(["what?"])
    assert model.tokenizer.decode(prompt) == "<s>Look: <image> Now say, what?"
    [found] = model.relevance([model.prepare(picture((64, 64)))], ["what?"], [1])
    assert found.maps.shape[:2] == (1, 1)


def test_flat_attention_gives_a_flat_map(vlm):
    for setup in ("internvl", "llava_next", "llava_onevision"):
        block = vlm(setup).prepare(picture((90, 300))).more
        flat = one_map(np.full(len(block.places), 0.5, np.float32), block.views)
        np.testing.assert_allclose(flat, 0.5, rtol=1e-6)
