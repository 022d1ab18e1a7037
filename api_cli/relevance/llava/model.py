"""LLaVA relevance maps: METHOD.md section 2, for any LLaVA of transformers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from PIL import Image
from transformers import DynamicCache

from api_cli.options.prompt import (
    IMAGE,
    MAX_NEW_TOKENS,
    PROMPT_TEMPLATE,
    check_template,
    fill,
    with_suffix,
)
from api_cli.relevance import Prepared, Read, Reads, Relevance, as_reads
from api_cli.relevance.device import default_batch_size, pick_device
from api_cli.relevance.llava.answering import CACHE, Answering, in_turn
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.relevance.llava.prefix import (
    Layer,
    Prefix,
    common_prefix,
    fill_cache,
    hand_out,
    is_shareable,
    layers_of,
    pad,
)
from api_cli.relevance.llava.readers import SDPA, attention_map, reading
from api_cli.relevance.llava.tokens import tokenize
from api_cli.relevance.sharing import Shared, share_pictures
from api_cli.relevance.square import Square, check_choices

__all__ = ["LlavaRelevance", "attention_map"]


class LlavaRelevance(Answering):
    """A LLaVA that tells which patches of an image it looked at when it answered a question.

    Args:
        checkpoint: which model; see `LlavaCheckpoint` for what can be had.
        fit: how a rectangle meets the square grid: "paper", "squash" or "pad". The model sees the
            same for "paper" and "pad".
        device: "auto", or anything `torch.device` takes. With "auto" a model too large for one
            GPU is spread by accelerate's device map.
        precision: of weights and forward pass: "fp32", "bf16", "fp16", or "auto" for that of the
            stored weights. Maps are always computed in float32.
        max_new_tokens: length of the answer at most, 1 or more.
        prompt_template: with `<image>` and `{question}` in it, once each.
        query_suffix: put behind every question.
        highlight: count only the passes that produced this part of the answer; where the answer
            does not have it, all.
        load_in: "8bit" or "4bit" for weights so quantised by bitsandbytes.

    Attributes:
        model: the `LlavaForConditionalGeneration` beneath; its language model's attention is SDPA
            under a name of this module.
        tokenizer: its tokenizer, padding on the left.

    Raises:
        ModelError: where the model cannot be had, loaded, or read by the method.
        UsageError: for a fit, precision or device that will not do.
        ValueError: for a prompt template without its placeholders.
    """

    def __init__(
        self,
        checkpoint: LlavaCheckpoint,
        *,
        fit: str = "paper",
        device: str = "auto",
        precision: str = "auto",
        max_new_tokens: int = MAX_NEW_TOKENS,
        prompt_template: str = PROMPT_TEMPLATE,
        query_suffix: str | None = None,
        highlight: str | None = None,
        load_in: str | None = None,
    ) -> None:
        check_choices(fit, precision, "auto")
        self._prompt_template = with_suffix(check_template(prompt_template), query_suffix)
        processor = checkpoint.create_processor()
        levels = processor.image_processor
        self._mean = np.array(levels.image_mean, np.float32)
        self._std = np.array(levels.image_std, np.float32)
        self._device = pick_device(device)
        model = checkpoint.create_model(
            self._device,
            checkpoint.precision if precision == "auto" else precision,
            load_in,
            spread=device == "auto",
        )
        super().__init__(model, processor.tokenizer, max_new_tokens, highlight)
        self.model.set_attn_implementation({"text_config": SDPA})
        config = self.model.config
        self._size: tuple[int, int] = (config.vision_config.image_size,) * 2
        self._square = Square(
            fit, checkpoint.grid, levels.image_mean, padded_fits=("paper", "pad"), size=self._size
        )
        self._image_tokens = processor.image_token * (checkpoint.grid[0] * checkpoint.grid[1])
        self._text_config = config.text_config.get_text_config(decoder=True)
        self._last: Prefix | None = None  # of the last batch's last picture

    @property
    def number_of_layers(self) -> int:
        """Layers of the language model."""
        return len(self.model.model.language_model.layers)

    @property
    def default_batch_size(self) -> int:
        """Questions that are answered together, where nobody says otherwise."""
        return default_batch_size(self._device, on_cpu=4)

    def prepare(self, image: Image.Image) -> Prepared:
        """Preprocess an RGB image: to the model's square by Pillow's bicubic filter, no crop."""
        return self._square.prepare(image, self._to_pixels)

    def _to_pixels(self, image: Image.Image) -> torch.Tensor:
        image = image.resize(self._size, Image.Resampling.BICUBIC)
        levels = np.asarray(image, np.float32) / 255
        pixels = (levels - self._mean) / self._std
        return torch.from_numpy(pixels.transpose(2, 0, 1).copy())

    @torch.inference_mode()
    def relevance(
        self,
        images: Sequence[Prepared],
        questions: Sequence[str],
        reads: Reads,
        unanswered: Collection[int] = (),
    ) -> list[Relevance]:
        """Answer the questions, and note where each answer's passes looked.

        Images that hold the same pixels, as `prepare` made them once, are one picture: where
        there are fewer pictures than questions, the prompt's beginning is read once a picture, and
        not at all where it is the last of the batch before.

        Args:
            images: B images from `prepare`.
            questions: B questions; an `<image>` in one is taken out, since the prompt has it.
            reads: decoder layers, from 0, or more of what is read.
            unanswered: indices of questions whose prompt's pass alone is read; they have no facts.

        Returns:
            B times maps (len(reads), 1, h, w), with the facts `auxiliary_answer`,
            `auxiliary_tokens` (the answer's passes, its end token's counted) and, where part of
            an answer is to be highlighted, `highlighted`: whether it was in the answer.

        Raises:
            ValueError: for a question that with its answer does not fit into the model's context.
        """
        asked = as_reads(reads)
        texts = [fill(self._prompt_template, q, self._image_tokens) for q in questions]
        template = self._prompt_template.replace(IMAGE, self._image_tokens)
        prompts = tokenize(self.tokenizer, texts, template)
        self._require_room(max(map(len, prompts)))
        image_token = self.model.config.image_token_id
        prefix = common_prefix(prompts, image_token) if is_shareable(self._text_config) else []
        last, self._last = self._last, None
        known = last.pixels if last is not None and last.ids == prefix else None
        shared = share_pictures(images, known)
        is_shared = bool(prefix) and len(shared.new) < len(images)
        if not (is_shared and shared.knows_first):
            last = None  # so that its memory can be used
        parts = self._read_prefix(prefix, shared, last) if is_shared else []
        last = None
        padded = pad(prompts, len(prefix) if is_shared else 0, self.tokenizer.pad_token_id)

        found: dict[int, Relevance] = {}
        turns = in_turn(len(images), unanswered)
        for turn in turns:
            rows = turn.rows
            if is_shared:
                looked_at = {}
                owner = [shared.owner[row] for row in rows]
                cache = fill_cache(self._text_config, hand_out(parts, owner))
                parts = parts if turn is not turns[-1] else []  # so that its memory can be used
            else:
                pixels = torch.stack([images[row].pixels for row in rows])
                looked_at = {"pixel_values": pixels.to(self.model.device, self.model.dtype)}
                cache = fill_cache(self._text_config, [])
            ids, mask = (tensor[rows] for tensor in padded)
            places = (ids == image_token).nonzero()[:, 1].view(len(rows), -1)  # (B, N)
            with reading(self.model.model.language_model.layers, asked, places) as readers:
                answers = self._generate(ids, mask, {**looked_at, CACHE: cache}, turn.answered)
            maps = readers.maps  # (S, B, R, N)
            for b, row in enumerate(rows):
                answer = None if answers is None else answers[b]
                found[row] = self._result(maps[:, b], answer, asked, images[row])
        if prefix:
            start = int(places[-1, -1]) + 1 - len(prefix)
            seen = layers_of(cache, -1, slice(start, start + len(prefix)))
            self._last = Prefix(prefix, images[rows[-1]].pixels, seen)
        return [found[row] for row in range(len(images))]

    def _read_prefix(
        self, ids: list[int], shared: Shared, last: Prefix | None
    ) -> list[Sequence[Layer]]:
        """Keys and values of the prompts' beginning, read once a picture: parts of pictures."""
        parts: list[Sequence[Layer]] = [] if last is None else [last.layers]
        if shared.new:
            device = self.model.device
            cache: DynamicCache = fill_cache(self._text_config, [])
            self.model.model(
                input_ids=torch.tensor([ids] * len(shared.new), device=device),
                pixel_values=torch.stack(shared.new).to(device, self.model.dtype),
                use_cache=True,
                **{CACHE: cache},
            )
            parts.append(layers_of(cache))
        return parts

    def _result(
        self,
        maps: torch.Tensor,
        tokens: torch.Tensor | None,
        reads: Sequence[Read],
        image: Prepared,
    ) -> Relevance:
        """One sample's maps, of the passes' maps (S, R, N) and tokens (S,) of the batch, if any."""
        mean, facts = self._answer(maps, tokens, reads)
        return Relevance(self._square.cut(mean[:, None].numpy(), image.part), facts)
