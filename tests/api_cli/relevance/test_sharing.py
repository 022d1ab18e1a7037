"""Pictures that several questions share: seen once, with the maps of the separate way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, MistralConfig, Qwen2Config

from api_cli.options.prompt import PROMPT_TEMPLATE
from api_cli.relevance import Prepared, Relevance, RelevanceModel
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.fit import grid_part
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.relevance.llava.prefix import common_prefix, is_shareable, pad
from api_cli.relevance.sharing import share_pictures
from api_cli.runs.pictures import decode
from tests import reference

WORDS = ("what", "is it", "how many of the many things are there, and why", "where", "the red one")
# which picture each question is about: groups, singles, any order
BATCHES = ("aaaaaa", "aab", "abca", "cabbac", "abcdef", "fffdde")
NAMES = dict(zip("abcdef", ("square", "wide", "tall", "grey", "palette", "rgba"), strict=True))


def ask(text: str) -> list[str]:
    """A question for each letter, each of another length."""
    return [f"{WORDS[i % len(WORDS)]} {letter}{i}?" for i, letter in enumerate(text)]


def prepare(model: RelevanceModel, photographs: Any, text: str) -> list[Prepared]:
    """The pictures of the letters, the same letter the same picture."""
    made = {
        letter: model.prepare(decode(photographs[NAMES[letter]].read_bytes()))
        for letter in sorted(set(text))
    }
    return [made[letter] for letter in text]


def one_by_one(
    model: RelevanceModel, images: Sequence[Prepared], questions: Sequence[str], layers: list[int]
) -> list[Relevance]:
    """The separate way: each question alone, about a picture of its own."""
    return [
        model.relevance([image._replace(pixels=image.pixels.clone())], [question], layers)[0]
        for image, question in zip(images, questions, strict=True)
    ]


def in_batches(
    model: RelevanceModel,
    images: Sequence[Prepared],
    questions: Sequence[str],
    layers: list[int],
    size: int,
) -> list[Relevance]:
    starts = range(0, len(images), size)
    return [
        found
        for at in starts
        for found in model.relevance(images[at : at + size], questions[at : at + size], layers)
    ]


def assert_same(ours: Sequence[Relevance], theirs: Sequence[Relevance]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        scale = np.abs(other.maps).max(axis=(-2, -1), keepdims=True)
        np.testing.assert_allclose(one.maps / scale, other.maps / scale, atol=1e-5)
        assert one.facts == other.facts


@contextmanager
def counting(tower: torch.nn.Module) -> Iterator[list[int]]:
    """How many pictures go through a tower, by forward pass."""
    sizes: list[int] = []
    patches = next(part for part in tower.modules() if isinstance(part, torch.nn.Conv2d))
    handle = patches.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    yield sizes
    handle.remove()


@pytest.fixture(scope="module")
def clip(clip_folder) -> ClipRelevance:
    return ClipRelevance(ClipCheckpoint(str(clip_folder("ViT-B-32"))))


@pytest.fixture(scope="module")
def llava(llava_folder) -> LlavaRelevance:
    return LlavaRelevance(LlavaCheckpoint(str(llava_folder("grouped"))))


def test_the_same_pixels_are_one_picture_and_equal_ones_are_not():
    part = grid_part("squash", (4, 4), (1, 1))
    a, b = (Prepared(torch.zeros(3, 4, 4), part) for _ in "ab")
    shared = share_pictures([b, a, b])
    assert (shared.owner, shared.knows_first, shared.is_one_each) == ([0, 1, 0], False, False)
    assert [pixels is image.pixels for pixels, image in zip(shared.new, (b, a), strict=True)]
    shared = share_pictures([b, a, b], known=a.pixels)
    assert (shared.owner, shared.knows_first) == ([1, 0, 1], True)
    assert len(shared.new) == 1
    assert shared.new[0] is b.pixels
    assert share_pictures([b], known=a.pixels).is_one_each
    assert share_pictures([a, b]).is_one_each


class TestClip:
    @pytest.mark.parametrize("text", BATCHES)
    @pytest.mark.parametrize("size", [1, 2, 4, 6])
    def test_maps_are_those_of_the_separate_way(self, text, size, clip, photographs):
        images, questions = prepare(clip, photographs, text), ask(text)
        assert_same(
            in_batches(clip, images, questions, [1, 4], size),
            one_by_one(clip, images, questions, [1, 4]),
        )

    @pytest.mark.parametrize(
        ("text", "size", "seen"),
        [
            ("aaaaaa", 6, 1),
            ("aaabbb", 2, 2),
            ("aaabbb", 1, 2),
            ("abcabc", 6, 3),
            ("abcdef", 4, 6),
            ("aabbccddeeff", 8, 6),
        ],
    )
    def test_a_picture_is_seen_once_also_where_its_questions_lie_in_two_batches(
        self, text, size, seen, clip, photographs
    ):
        with counting(clip.model.visual) as pictures:
            in_batches(clip, prepare(clip, photographs, text), ask(text), [2], size)
        assert sum(pictures) == seen

    def test_another_layer_of_the_last_picture_is_looked_at_again(self, clip, photographs):
        [image], [question] = prepare(clip, photographs, "a"), ask("a")
        clip.relevance([image], [question], [1, 2])
        with counting(clip.model.visual) as pictures:
            found = clip.relevance([image], [question], [2])
            assert pictures == []
            deeper = clip.relevance([image], [question], [3])
            assert pictures == [1]
        assert_same(found, one_by_one(clip, [image], [question], [2]))
        assert_same(deeper, one_by_one(clip, [image], [question], [3]))

    def test_maps_are_those_of_the_equations(self, clip, clip_folder, photographs):
        literal = reference.ReferenceClip(clip_folder("ViT-B-32"))
        images, questions = prepare(clip, photographs, "abaa"), ask("abaa")
        found = in_batches(clip, images, questions, [2], 3)
        for letter, question, (maps, _) in zip("abaa", questions, found, strict=True):
            pixels = literal.pixels(reference.as_seen(photographs[NAMES[letter]]), "paper")
            expected = reference.clip_mask(*literal.maps(pixels, question, [2])[2], 5, 3)
            cls_map, patch_map = maps[0].astype(float)
            ours = reference.clip_mask(cls_map, patch_map, 5, 3)
            assert np.abs(255 * (ours - expected)).max() < 1, "a grey level"

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_low_precision_is_shared_as_well(self, precision, clip_folder, photographs):
        model = ClipRelevance(
            ClipCheckpoint(str(clip_folder("ViT-B-32"))), precision=precision, device="cpu"
        )
        images, questions = prepare(model, photographs, "aabaa"), ask("aabaa")
        for one, other in zip(
            in_batches(model, images, questions, [2], 2),
            one_by_one(model, images, questions, [2]),
            strict=True,
        ):
            assert np.corrcoef(one.maps.ravel(), other.maps.ravel())[0, 1] > 0.999


class TestLlava:
    @pytest.mark.parametrize("text", BATCHES)
    @pytest.mark.parametrize("size", [1, 2, 4, 6])
    def test_maps_and_answers_are_those_of_the_separate_way(self, text, size, llava, photographs):
        images, questions = prepare(llava, photographs, text), ask(text)
        found = in_batches(llava, images, questions, [0, 2], size)
        assert_same(found, one_by_one(llava, images, questions, [0, 2]))
        if text == "aaaaaa":
            assert len({facts["auxiliary_tokens"] for _, facts in found}) > 1, "some stop early"

    @pytest.mark.parametrize(
        ("text", "size", "seen"),
        [
            ("aaaaaa", 6, 1),
            ("aaabbb", 2, 2),
            ("aaabbb", 1, 2),
            ("abcabc", 6, 3),
            ("abcdef", 4, 6),
            ("aabbccddeeff", 8, 6),
        ],
    )
    def test_a_picture_is_read_once_also_where_its_questions_lie_in_two_batches(
        self, text, size, seen, llava, photographs
    ):
        with counting(llava.model.model.vision_tower) as n:
            in_batches(llava, prepare(llava, photographs, text), ask(text), [1], size)
        assert sum(n) == seen

    def test_singles_are_read_in_one_pass_with_their_prompt(self, llava, photographs):
        layer = llava.model.model.language_model.layers[0]
        lengths: list[int] = []
        handle = layer.register_forward_pre_hook(
            lambda _, inputs: lengths.append(inputs[0].shape[1])
        )
        llava.relevance(prepare(llava, photographs, "abc"), ask("abc"), [1])
        handle.remove()
        assert lengths[0] > 100
        assert set(lengths[1:]) <= {1}

    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_answers_and_maps_are_those_of_the_equations(
        self, size, llava, llava_folder, photographs
    ):
        literal = reference.ReferenceLlava(llava_folder("grouped"))
        images, questions = prepare(llava, photographs, "aabba"), ask("aabba")
        found = in_batches(llava, images, questions, [1], size)
        for letter, question, (maps, facts) in zip("aabba", questions, found, strict=True):
            pixels = literal.pixels(reference.as_seen(photographs[NAMES[letter]]), "paper")
            prompt = PROMPT_TEMPLATE.replace("{question}", question)
            tokens, expected = literal.answer(pixels, prompt, 20)
            assert facts["auxiliary_tokens"] == len(tokens)
            mean = np.mean([of_pass[1] for of_pass in expected], axis=0)
            np.testing.assert_allclose(maps[0, 0], mean, atol=1e-5)

    @pytest.mark.parametrize(
        "options",
        [
            {"max_new_tokens": 1},
            {"max_new_tokens": 3, "highlight": "a"},
            {"prompt_template": "{question} <image>"},
            {"prompt_template": "Look: {question}\n<image> Well?"},
            {"prompt_template": "<image>{question}"},
            {"fit": "pad", "max_new_tokens": 2},
        ],
        ids=str,
    )
    def test_every_way_to_ask_is_shared_or_left_separate(self, options, llava_folder, photographs):
        checkpoint = LlavaCheckpoint(str(llava_folder("six-by-six")))
        model = LlavaRelevance(checkpoint, **options)
        images, questions = prepare(model, photographs, "aaba"), ask("aaba")
        assert_same(
            in_batches(model, images, questions, [1, 3], 3),
            one_by_one(model, images, questions, [1, 3]),
        )

    @pytest.mark.parametrize("text", ["</s><pad>", "<image> what is that", "", "猫" * 40, "\n\n x"])
    def test_odd_questions_share_like_others(self, text, llava, photographs):
        images, questions = prepare(llava, photographs, "aaa"), ["what?", text, "why, and who?"]
        assert_same(
            llava.relevance(images, questions, [1]), one_by_one(llava, images, questions, [1])
        )

    def test_a_spread_model_shares(self, llava, llava_folder, photographs, monkeypatch):
        monkeypatch.setattr("api_cli.relevance.llava.found.has_room", lambda *_: False)
        spread = LlavaRelevance(LlavaCheckpoint(str(llava_folder("grouped"))), device="auto")
        images, questions = prepare(spread, photographs, "aabaa"), ask("aabaa")
        assert_same(
            in_batches(spread, images, questions, [1], 3), one_by_one(llava, images, questions, [1])
        )

    def test_an_error_leaves_nothing_behind(self, llava, photographs):
        images, questions = prepare(llava, photographs, "aa"), ask("aa")
        llava.relevance(images, questions, [1])
        with pytest.raises(ValueError, match="the model at most"):
            llava.relevance(images, ["what is that " * 1000] * 2, [1])
        assert_same(
            llava.relevance(images, questions, [1]), one_by_one(llava, images, questions, [1])
        )


def test_what_prompts_have_in_common_ends_with_the_image():
    assert common_prefix([[1, 9, 9, 5], [1, 9, 9, 5, 6]], 9) == [1, 9, 9]
    assert common_prefix([[1, 9, 9, 5], [2, 9, 9, 5]], 9) == [], "they begin otherwise"
    assert common_prefix([[1, 9, 9, 5], [1, 9, 9]], 9) == [], "nothing to ask"
    assert common_prefix([[1, 9, 9, 5], [1, 4, 9, 9, 5]], 9) == []


def test_padding_lies_between_what_is_common_and_the_question():
    ids, mask = pad([[1, 9, 5], [1, 9, 6, 7, 8]], 2, 0)
    assert ids.tolist() == [[1, 9, 0, 0, 5], [1, 9, 6, 7, 8]]
    assert mask.tolist() == [[1, 1, 0, 0, 1], [1, 1, 1, 1, 1]]
    assert pad([[1, 9, 5], [1, 9, 6, 7, 8]], 0, 0).ids.tolist()[0] == [0, 0, 1, 9, 5]


def test_models_that_see_through_a_window_do_not_share():
    assert is_shareable(LlamaConfig())
    assert is_shareable(Qwen2Config(use_sliding_window=False))
    assert is_shareable(MistralConfig(sliding_window=None))
    assert not is_shareable(MistralConfig(sliding_window=64))
    assert not is_shareable(Qwen2Config(use_sliding_window=True, max_window_layers=1))
