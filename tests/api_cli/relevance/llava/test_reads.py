"""What a model can be asked for beside a layer: softmax, weights of tokens, heads, no answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration

from api_cli.options.prompt import GENERAL_QUESTION, PROMPT_TEMPLATE, fill
from api_cli.relevance import Read
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.answering import pass_weights
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.relevance.llava.readers import Reader, attention
from api_cli.relevance.llava.views import one_map
from api_cli.runs.pictures import decode
from tests.api_cli.relevance.llava.test_vlm import (
    ASKED,
    assert_near,
    eager_passes,
    layers_of,
    picture,
)

pytestmark = [
    pytest.mark.model,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

# rotary in sections; a window in every other layer; a soft cap, eager; tiles with row ends
FAMILIES = ("qwen2_5_vl", "gemma3", "paligemma2", "llava_next")


def reads_of(*layers):
    return [
        read
        for layer in layers
        for read in (
            Read(layer),
            Read(layer, "all"),
            Read(layer, "all", "linear"),
            Read(layer, "image", "first"),
            Read(layer, "all", "even", 1),
            Read(layer, "image", "linear", 0),
        )
    ]


def expected(passes, read):
    """One map (N,), of the image's part of attention (H, N) by pass and layer."""
    looks = [looks[read.layer] for looks in passes]
    if read.softmax == "image":
        looks = [look / look.sum(dim=-1, keepdim=True) for look in looks]
    of_passes = [look.mean(dim=0) if read.head is None else look[read.head] for look in looks]
    if read.tokens in ("first", "prompt"):
        return of_passes[0]
    weights = [t if read.tokens == "linear" else 1 for t in range(1, len(of_passes) + 1)]
    weighted = [w * m for w, m in zip(weights, of_passes, strict=True)]
    return sum(weighted) / sum(weights)


@pytest.fixture(scope="module")
def llava(llava_folder) -> LlavaRelevance:
    return LlavaRelevance(LlavaCheckpoint(str(llava_folder("grouped"))), max_new_tokens=6)


def eager_llava_passes(folder, model, prepared, question):
    eager = LlavaForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
    tokens = model.model.config.image_token_id
    rows, columns = model._square.grid
    prompt = fill(PROMPT_TEMPLATE, question, "<image>" * (rows * columns))
    ids = torch.tensor([model.tokenizer(prompt).input_ids])
    with torch.no_grad():
        made = eager.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=prepared.pixels[None],
            max_new_tokens=6, do_sample=False, output_attentions=True, return_dict_in_generate=True,
        )  # fmt: skip
    places = (ids[0] == tokens).nonzero()[:, 0]
    return [
        {n: of_layer[0, :, -1][:, places].double() for n, of_layer in enumerate(attentions)}
        for attentions in made.attentions
    ]


def test_llavas_reads_are_those_of_eager_attention(llava, llava_folder, photographs):
    image = llava.prepare(decode(photographs["square"].read_bytes()))
    passes = eager_llava_passes(llava_folder("grouped"), llava, image, "what is it?")
    assert len(passes) > 1
    reads = reads_of(0, 2)
    [found] = llava.relevance([image], ["what is it?"], reads)
    theirs = np.stack([expected(passes, read).numpy() for read in reads])
    assert_near(found.maps[:, 0], theirs.reshape(len(reads), *llava._square.grid), 1e-4)
    assert not np.allclose(found.maps[1] / found.maps[1].sum(), found.maps[0], rtol=0.01)


@pytest.mark.parametrize("setup", FAMILIES)
def test_other_families_reads_are_those_of_eager_attention(setup, vlm, vlm_folder):
    model, image = vlm(setup), picture((200, 140))
    question = ASKED[2] if setup == "paligemma2" else ASKED[1]
    passes, _ = eager_passes(vlm_folder(setup), model, image, question)
    assert len(passes) > 1
    reads = reads_of(*sorted(passes[0])[:2])
    prepared = model.prepare(image)
    [found] = model.relevance([prepared], [question], reads)
    for read, ours in zip(reads, found.maps[:, 0], strict=True):
        if read.softmax == "all" or read.layer in layers_of(model):  # all the image is there
            theirs = one_map(expected(passes, read).numpy(), prepared.more.views)
            np.testing.assert_allclose(ours, theirs, atol=2e-4 * max(np.ptp(theirs), 1e-3))


@pytest.mark.parametrize("setup", ["llava", "qwen2_5_vl", "gemma3"])
@pytest.mark.parametrize("pictures", ["abc", "aab"])
def test_neighbours_sharing_and_questions_without_an_answer_change_nothing(
    setup, pictures, llava, vlm, photographs
):
    model = llava if setup == "llava" else vlm(setup)
    sizes = {"a": (200, 140), "b": (90, 300), "c": (64, 64)}
    made = {name: model.prepare(picture(size, len(name))) for name, size in sizes.items()}
    images = [made[name] for name in pictures]
    different = [made[name] for name in dict.fromkeys(pictures)]
    reads = reads_of(1, 3 if setup != "llava" else 2)
    general = range(len(images), len(images) + len(different))
    together = model.relevance(
        images + different, [*ASKED, *[GENERAL_QUESTION] * len(different)], reads, general
    )
    for number, (image, found) in enumerate(zip(images + different, together, strict=True)):
        alone = image._replace(pixels=image.pixels.clone())
        if number < len(images):
            [separate] = model.relevance([alone], [ASKED[number]], reads)
            assert found.facts == separate.facts
        else:
            first = [read._replace(tokens="first") for read in reads]
            [separate] = model.relevance([alone], [GENERAL_QUESTION], first)
            assert found.facts == {}
        assert_near(found.maps, separate.maps, 2e-4)


def test_a_picture_is_read_once_for_its_questions_and_the_general_one(llava, photographs):
    image = llava.prepare(decode(photographs["wide"].read_bytes()))
    lengths: list[int] = []
    handle = llava.model.model.language_model.layers[0].register_forward_pre_hook(
        lambda _, inputs: lengths.append(inputs[0].shape[1])
    )
    try:
        llava.relevance([image] * 3, ["a?", "b?", GENERAL_QUESTION], [1], [2])
    finally:
        handle.remove()
    tokens = llava._square.grid[0] * llava._square.grid[1]
    assert [length > tokens for length in lengths].count(True) == 1
    assert len(lengths) <= 1 + 1 + 6, "the picture, one pass of the general one, an answer's passes"


def test_a_windowed_cache_gives_what_is_left_of_the_image():
    """Four keys of a sequence of six: the image's first two tokens are behind the window."""
    reader = Reader([Read(0, "all")], torch.tensor([[1, 2, 3]]), None)
    q, k = torch.randn(1, 2, 5, 4), torch.randn(1, 2, 6, 4)
    seen = torch.ones(1, 1, 5, 5, dtype=torch.bool).tril().triu(-3)
    reader.read(q, k[:, :, :5], seen, 0.5, None)
    reader.read(q[:, :, -1:], k[:, :, 2:], None, 0.5, None)
    first, second = reader.maps(Read(0, "all"))
    weights = attention(q[:, :, -1], k[:, :, 1:5], 0.5)  # three before the last, and itself
    torch.testing.assert_close(first, weights[:, :, :3].mean(dim=1))
    weights = attention(q[:, :, -1], k[:, :, 2:], 0.5)
    torch.testing.assert_close(second[:, 1:], weights[:, :, :2].mean(dim=1))
    assert second[0, 0] == 0


@pytest.mark.parametrize(
    ("tokens", "weights"),
    [
        ("even", [0, 0.5, 0.5, 0]),
        ("linear", [0, 0.4, 0.6, 0]),
        ("first", [1, 0, 0, 0]),
        ("prompt", [1, 0, 0, 0]),
    ],
)
def test_weights_of_tokens_heed_what_is_highlighted(tokens, weights):
    counted = torch.tensor([False, True, True, False])
    torch.testing.assert_close(pass_weights(tokens, counted), torch.tensor(weights).float())
