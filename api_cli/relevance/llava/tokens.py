"""Prompts to tokens: what a question says is text, whatever it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api_cli.options.prompt import QUESTION


def tokenize(tokenizer: Any, prompts: Sequence[str], template: str) -> list[list[int]]:
    """Tokens of prompts, whole and unpadded.

    A special token's name in a question (`</s>`) would be that token; it is spelt out instead, and
    nothing else of the prompt is read otherwise than the tokenizer reads it.

    Args:
        tokenizer: a fast one of transformers.
        prompts: B prompts, each the template with a question in it.
        template: with the image's tokens, and `{question}`.
    """
    before, after = template.split(QUESTION)
    encoded = tokenizer(list(prompts), return_offsets_mapping=True)
    special = {
        token: tokenizer(str(name), add_special_tokens=False, split_special_tokens=True).input_ids
        for token, name in tokenizer.added_tokens_decoder.items()
        if any(str(name) in prompt[len(before) : len(prompt) - len(after)] for prompt in prompts)
    }
    rows = []
    for prompt, ids, spans in zip(
        prompts, encoded["input_ids"], encoded["offset_mapping"], strict=True
    ):
        asked = range(len(before), len(prompt) - len(after))
        row: list[int] = []
        for token, (start, end) in zip(ids, spans, strict=True):
            spelt_out = token in special and start in asked and end > start
            row.extend(special[token] if spelt_out else [token])
        rows.append(row)
    return rows
