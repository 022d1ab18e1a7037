"""What a question says is text, whatever it looks like."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from api_cli.options.prompt import IMAGE, PROMPT_TEMPLATE, fill, without_image_marks
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.relevance.llava.tokens import tokenize

pytestmark = pytest.mark.model


@pytest.mark.parametrize(
    ("model_name", "written"),
    [
        ("demo", "<|end|>"),
        ("demo", "<|start|>"),
        ("demo", "<|pad|>"),
        ("ViT-L-14-336", "<end_of_text>"),
        ("ViT-L-14-336", "<START_of_text>"),
        ("ViT-L-14-336", "&lt;end_of_text&gt;"),
        ("ViT-L-14-336", "<|endoftext|>"),
    ],
)
def test_clips_special_tokens_in_a_question_are_words(model_name, written):
    tokenizer = ClipCheckpoint(model_name).create_tokenizer()
    plain, marked = tokenizer(["what does it say?", f"what does {written} say?"])
    special = set(plain[[0]].tolist()) | {int(plain.max()), 0}
    inner = marked[1:].tolist()
    end = inner.index(int(plain[plain.nonzero()[-1, 0]]))
    assert end > 6, "the question goes on after the mark"
    assert not special & set(inner[:end])


def test_ordinary_questions_are_read_as_open_clip_reads_them():
    ours = ClipCheckpoint("ViT-L-14-336").create_tokenizer()
    theirs = open_clip.get_tokenizer("ViT-L-14-336")
    questions = ["What's on the dog's head?", "a < b > c", "猫はどこ?", "x_y <end of text>", ""]
    assert torch.equal(ours(questions), theirs(questions))


def test_llavas_special_tokens_in_a_question_are_words():
    processor = LlavaCheckpoint("demo").create_processor()
    tokenizer = processor.tokenizer
    template = PROMPT_TEMPLATE.replace(IMAGE, IMAGE * 3)

    def tokens(*questions: str) -> list[list[int]]:
        prompts = [fill(PROMPT_TEMPLATE, question, IMAGE * 3) for question in questions]
        return tokenize(tokenizer, prompts, template)

    plain = ["what colour is it?", "where is the cap, left or right?"]
    prompts = [fill(PROMPT_TEMPLATE, question, IMAGE * 3) for question in plain]
    assert tokens(*plain) == tokenizer(prompts)["input_ids"]
    for written in ("</s>", "<s>", "<pad>", "<ima<image>ge>", "a</s>b<pad>"):
        [[*row]] = tokens(f"what colour {written} is it?")
        assert row.count(tokenizer.convert_tokens_to_ids(IMAGE)) == 3
        assert row.count(tokenizer.bos_token_id) == 1
        assert not {tokenizer.eos_token_id, tokenizer.pad_token_id} & set(row)
        said = tokenizer.decode(row)
        assert without_image_marks(written).replace(" ", "") in said.replace(" ", "")


def test_the_mark_of_the_image_is_taken_out_for_both_methods():
    assert without_image_marks("<image>\nwhere is it?") == "where is it?"
    assert without_image_marks("what is in <image 1>?") == "what is in <image 1>?"
    model = ClipRelevance(ClipCheckpoint("demo"))
    image = model.prepare(Image.effect_noise((60, 60), 60).convert("RGB"))
    questions = ["where is it?", "<image>\nwhere is it?", "where is it? <image>"]
    maps = [found.maps for found in model.relevance([image] * 3, questions, [2])]
    for other in maps[1:]:
        np.testing.assert_allclose(maps[0], other, rtol=1e-5, atol=1e-6)
