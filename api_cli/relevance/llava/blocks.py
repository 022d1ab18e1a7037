"""From a picture and a question to what a vision-language model is given, by its own processor.

The processor sees each picture once, in a prompt that stands for all; what it makes of the
picture's place there, the block, is then put into the prompt of every question about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from api_cli.errors import ModelError, UsageError, first_line
from api_cli.options.prompt import (
    IMAGE,
    PROMPT_TEMPLATE,
    QUESTION,
    check_template,
    fill,
    with_suffix,
)
from api_cli.relevance.llava.families import FAMILIES, Family, Seen, thw_views
from api_cli.relevance.llava.tokens import tokenize
from api_cli.relevance.llava.views import View

_OF_TOKENS = {"token_type_ids", "mm_token_type_ids"}
_OF_TEXT = {"input_ids", "attention_mask", "labels"}
_ODD = (123, 77)  # width and height of the picture that a model is tried with


class Block(NamedTuple):
    """What stands in prompts for one picture.

    Attributes:
        ids: tokens that stand for it, its markers among them.
        replaced: tokens of a prompt in whose place they come.
        kinds: what else the processor says of each of `ids`, by name; 0 of all other tokens.
        tensors: of the picture, as the model takes them.
        places: where in `ids` the tokens of the views are.
        views: over those alone.
    """

    ids: list[int]
    replaced: list[int]
    kinds: Mapping[str, list[int]]
    tensors: Mapping[str, Any]
    places: list[int]
    views: list[View]

    def splice(self, prompt: list[int], placeholder: int) -> tuple[list[int], int]:
        """A prompt with the block in it, and where it begins. ValueError where it does not fit."""
        start = prompt.index(placeholder) - self.replaced.index(placeholder)
        end = start + len(self.replaced)
        if prompt[start:end] != self.replaced:
            raise ValueError(
                "the question's first or last letters and the image's marker are one token; "
                "a --prompt-template with a space or a line between them parts them"
            )
        return prompt[:start] + self.ids + prompt[end:], start


class Blocks:
    """Makes blocks and prompts for one model.

    Args:
        processor: the model's.
        config: the model's.
        kind: its family's name; one that is not in the table is tried as one grid.
        prompt_template: with `<image>` and `{question}`; the default of LLaVA-1.5 stands for the
            model's own chat template.
        max_pixels: of a picture, where the family sees pictures in sizes of their own.
        query_suffix: put behind every question.

    Attributes:
        family: of the model.
        placeholder: the token that stands for a picture before the processor has had it.

    Raises:
        ModelError: where the family's rule does not hold for what the processor makes.
        UsageError: for `max_pixels` where all pictures are of one size.
    """

    def __init__(
        self,
        processor: Any,
        config: Any,
        kind: str,
        prompt_template: str = PROMPT_TEMPLATE,
        max_pixels: int | None = None,
        query_suffix: str | None = None,
    ) -> None:
        self.family = FAMILIES.get(kind) or Family(thw_views)
        self._processor, self._config, self._max_pixels = processor, config, max_pixels
        self._tokenizer = processor.tokenizer
        if max_pixels is not None and self.family.options is None:
            dynamic = ", ".join(name for name, family in FAMILIES.items() if family.options)
            raise UsageError(
                f"--max-pixels: a {kind} sees every picture in sizes of its own choice; it is for "
                f"{dynamic}"
            )
        self._mark: str = getattr(processor, "boi_token", None) or processor.image_token
        self.placeholder: int = self._tokenizer.convert_tokens_to_ids(self._mark)
        self._template = with_suffix(self._whole(prompt_template), query_suffix)
        self._stand_in = fill(self._template, "?", self._mark)
        [self._plain] = self.prompts(["?"])
        self._check(kind)

    def prompts(self, questions: Sequence[str]) -> list[list[int]]:
        """Token ids of the questions' prompts, the placeholder where the picture comes."""
        to_text = self.family.text or (lambda prompt, _: prompt)
        template = to_text(self._template.replace(IMAGE, self._mark), self._tokenizer)
        texts = [
            to_text(fill(self._template, question, self._mark), self._tokenizer)
            for question in questions
        ]
        return tokenize(self._tokenizer, texts, template)

    def read(self, image: Image.Image) -> Block:
        """What stands for a picture; called from several threads at once."""
        options: dict[str, Any] = {}
        if self._max_pixels is not None and self.family.options is not None:
            options["images_kwargs"] = self.family.options(
                self._processor, image.size, self._max_pixels
            )
        outputs: Any = self._processor(
            text=self._stand_in, images=[image], return_tensors="pt", **options
        )
        ids: list[int] = outputs["input_ids"][0].tolist()
        start, replaced, end = _changed(self._plain, ids, self.placeholder)
        kinds = {
            name: outputs[name][0, start:end].tolist() for name in _OF_TOKENS if name in outputs
        }
        tensors = {
            name: value
            for name, value in outputs.items()
            if name not in _OF_TOKENS | _OF_TEXT and hasattr(value, "dtype")
        }
        block = ids[start:end]
        image_token = self._config.image_token_id
        places = [place for place, token in enumerate(block) if token == image_token]
        views = self.family.views(
            Seen(self._processor, self._config, tensors, image.size, len(places))
        )
        used = np.unique(np.concatenate([view.tokens.ravel() for view in views]))
        if used[0] != 0 or used[-1] >= len(places):
            raise ValueError(
                f"the processor makes {len(places)} image tokens of a picture of "
                f"{image.width} x {image.height} pixels, the family's rule {used[-1] + 1}"
            )
        views = [View(np.searchsorted(used, view.tokens), view.box) for view in views]
        return Block(block, replaced, kinds, tensors, [places[i] for i in used], views)

    def _whole(self, prompt_template: str) -> str:
        """The template of prompts, with `<image>` and `{question}` once each."""
        if prompt_template != PROMPT_TEMPLATE:
            return check_template(prompt_template)
        if getattr(self._processor, "chat_template", None) is None:
            if self.family.template is None:
                raise ModelError(
                    "the model's processor has no chat template; say with --prompt-template what "
                    "it is given, with <image> and {question} in it"
                )
            return self.family.template
        content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
        try:
            chat: str = self._processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            start = self._tokenizer.bos_token
            starts = self._tokenizer("").input_ids[:1] == [self._tokenizer.bos_token_id]
            if start is not None and starts:  # the tokenizer adds it
                chat = chat.removeprefix(start)
            return check_template(chat.replace(self._mark, IMAGE))
        except Exception as error:  # whatever a template does
            raise ModelError(
                f"the model's chat template will not do ({first_line(error)}); give another "
                "prompt by --prompt-template, with <image> and {question} in it"
            ) from error

    def _check(self, kind: str) -> None:
        """Raises ModelError where an odd picture does not come out as the rule has it."""
        try:
            levels = np.random.default_rng(0).integers(0, 256, (_ODD[1], _ODD[0], 3), np.uint8)
            block = self.read(Image.fromarray(levels))
            tokens = sum(token == self._config.image_token_id for token in block.ids)
            ends = len(block.views[-1].tokens) if self.family.rows_end else 0
            if tokens != len(block.places) + ends:
                raise ValueError(
                    f"{tokens} image tokens, of which the rule places {len(block.places)}"
                )
            [prompt] = self.prompts(["What is it?"])
            block.splice(prompt, self.placeholder)
        except (UsageError, ModelError):
            raise
        except Exception as error:  # processors raise whatever their parts do
            raise ModelError(
                f"where a {kind} sees what in a picture cannot be told: its processor's tokens are "
                f"not laid out by the known rule ({type(error).__name__}: {first_line(error)}); "
                f"those that can be read are llava, {', '.join(FAMILIES)}"
            ) from error


def _changed(plain: list[int], whole: list[int], placeholder: int) -> tuple[int, list[int], int]:
    """Where two prompts differ: start in both, what the first has there, end in the second."""
    most = min(len(plain), len(whole))
    start = next((i for i in range(most) if plain[i] != whole[i]), most)
    start = min(start, plain.index(placeholder))
    tail = next((i for i in range(most - start) if plain[-1 - i] != whole[-1 - i]), most - start)
    tail = min(tail, len(plain) - 1 - plain.index(placeholder))
    return start, plain[start : len(plain) - tail], len(whole) - tail
