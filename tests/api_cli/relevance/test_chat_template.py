"""The demo LLaVA's chat template: what a server makes of a chat is what apiprompt asks itself."""

from __future__ import annotations

import shutil

import pytest
from PIL import Image

from api_cli.options.prompt import IMAGE, PROMPT_TEMPLATE, fill
from api_cli.relevance.llava.checkpoint import DEMO_FOLDER, LlavaCheckpoint

PICTURE = Image.new("RGB", (48, 32), "teal")
IMAGE_PART = {"type": "image", "image": PICTURE}
QUESTIONS = (
    "What colour is the cat?",
    " <image 1> or <image>: which\n one is 'it', & why {question}?\n",
    "x",
)


@pytest.fixture(scope="module")
def processor():
    return LlavaCheckpoint("demo").create_processor()


@pytest.mark.model
@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_chat_becomes_the_programs_own_prompt(processor, question, order):
    parts = [IMAGE_PART, {"type": "text", "text": question}][::order]
    chat = [{"role": "user", "content": parts}]
    prompt = fill(PROMPT_TEMPLATE, question, IMAGE)
    text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert text == prompt
    tokens = processor.apply_chat_template(
        chat, add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
    assert list(tokens[0]) == list(processor(text=prompt, images=PICTURE)["input_ids"][0])


@pytest.mark.model
def test_system_text_several_pictures_and_earlier_answers_find_their_place(processor):
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Same?"}, IMAGE_PART, IMAGE_PART]},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "Why?"},
    ]
    assert processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) == (
        "Be brief. USER: <image>\n<image>\nSame? ASSISTANT: no</s> USER: Why? ASSISTANT:"
    )


@pytest.mark.model
def test_the_template_is_no_part_of_the_models_identity(tmp_path):
    """Maps that were kept before it was there are still the model's."""
    copy = shutil.copytree(DEMO_FOLDER, tmp_path / "demo_llava")
    (copy / "chat_template.jinja").unlink()
    assert LlavaCheckpoint(str(copy)).identity == LlavaCheckpoint("demo").identity
