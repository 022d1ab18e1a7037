"""What LLaVA is given beside an image: the prompt of METHOD.md section 2."""

from __future__ import annotations

from datasets_manager.base import IMAGE_MARK, without_image_mark

__all__ = [
    "GENERAL_QUESTION",
    "IMAGE",
    "MAX_NEW_TOKENS",
    "PROMPT_TEMPLATE",
    "QUESTION",
    "check_template",
    "fill",
    "with_suffix",
    "without_image_mark",
]

IMAGE = IMAGE_MARK
QUESTION = "{question}"
PROMPT_TEMPLATE = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the human's questions. "
    f"USER: {IMAGE}\n{QUESTION} ASSISTANT:"
)  # Vicuna v1's
MAX_NEW_TOKENS = 20
GENERAL_QUESTION = "Write a general description of the image."  # ViCrop's and CARVE's


def check_template(template: str) -> str:
    """The template itself. Raises ValueError where a placeholder is not in it exactly once."""
    for word in (IMAGE, QUESTION):
        if template.count(word) != 1:
            raise ValueError(f"expected a text with {IMAGE} and {QUESTION} in it, once each")
    return template


def with_suffix(template: str, suffix: str | None) -> str:
    """A template that puts a text behind every question."""
    return template if suffix is None else template.replace(QUESTION, f"{QUESTION}{suffix}")


def fill(template: str, question: str, image_tokens: str) -> str:
    """A prompt: the question, without any `<image>` of its own, and the tokens of one image."""
    with_image = template.replace(IMAGE, image_tokens)
    return with_image.replace(QUESTION, without_image_mark(question).strip())
