"""Relevance maps of vision-language models beyond LLaVA-1.5: METHOD.md section 2, for any layout.

The model is given what its own processor makes of a picture. Tokens of all views of it go through
one softmax, as LLaVA-1.5's do, and `views.one_map` brings them together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from PIL import Image

from api_cli.options.prompt import MAX_NEW_TOKENS, PROMPT_TEMPLATE
from api_cli.relevance import Prepared, Read, Reads, Relevance, as_reads
from api_cli.relevance.device import default_batch_size, pick_device
from api_cli.relevance.fit import GridPart
from api_cli.relevance.llava.answering import CACHE, Answering, in_turn
from api_cli.relevance.llava.batching import (
    collate,
    filled_before,
    kinds_of,
    left,
    pad_twice,
    places_of,
)
from api_cli.relevance.llava.blocks import Block, Blocks
from api_cli.relevance.llava.prefix import Layer, Prefix, fill_cache, hand_out, layers_of, pad
from api_cli.relevance.llava.readers import EAGER, SDPA, reading
from api_cli.relevance.llava.views import map_size, one_map
from api_cli.relevance.llava.vlm_checkpoint import VlmCheckpoint
from api_cli.relevance.sharing import Shared, share_pictures
from api_cli.relevance.square import check_choices


class _Prefixes(NamedTuple):
    """What the language model has made of some pictures and what comes before them.

    Attributes:
        parts: keys and values of every layer, a row a picture, part after part.
        rope_deltas: (P, 1), where the model counts positions by itself; else None.
    """

    parts: list[list[Layer]]
    rope_deltas: torch.Tensor | None


class VlmRelevance(Answering):
    """A vision-language model that tells where in a picture it looked when it answered.

    Args:
        checkpoint: which model; see `VlmCheckpoint` for what can be had.
        device: "auto", or anything `torch.device` takes. With "auto" a model too large for one
            GPU is spread by accelerate's device map.
        precision: of weights and forward pass: "fp32", "bf16", "fp16", or "auto" for that of the
            stored weights. Maps are always computed in float32.
        max_new_tokens: length of the answer at most, 1 or more.
        prompt_template: with `<image>` and `{question}` in it, once each; the default, which is
            LLaVA-1.5's, stands for the model's own chat template.
        query_suffix: put behind every question.
        highlight: count only the passes that produced this part of the answer; where the answer
            does not have it, all.
        load_in: "8bit" or "4bit" for weights so quantised by bitsandbytes.
        max_pixels: of a picture as the model sees it, where its family has that choice.

    Raises:
        ModelError: where the model cannot be had, loaded, or read.
        UsageError: for a precision, device or number of pixels that will not do.
        ValueError: for a prompt template without its placeholders.
    """

    def __init__(
        self,
        checkpoint: VlmCheckpoint,
        *,
        device: str = "auto",
        precision: str = "auto",
        max_new_tokens: int = MAX_NEW_TOKENS,
        prompt_template: str = PROMPT_TEMPLATE,
        query_suffix: str | None = None,
        highlight: str | None = None,
        load_in: str | None = None,
        max_pixels: int | None = None,
    ) -> None:
        check_choices("paper", precision, "auto")
        processor = checkpoint.create_processor()
        self._blocks = Blocks(
            processor,
            checkpoint.config,
            checkpoint.kind_of_model,
            prompt_template,
            max_pixels,
            query_suffix,
        )
        self._device = pick_device(device)
        model = checkpoint.create_model(
            self._device,
            checkpoint.precision if precision == "auto" else precision,
            load_in,
            spread=device == "auto",
        )
        super().__init__(model, processor.tokenizer, max_new_tokens, highlight)
        base = model.model
        self._decoder: Any = getattr(base, "language_model", None) or base.text_model
        self._shares = checkpoint.is_shareable
        self._last: Prefix | None = None  # of the last batch's last picture
        self._text_config = model.config.get_text_config(decoder=True)
        # SDPA knows no soft cap; older versions of transformers take it all the same
        has_cap = getattr(self._text_config, "attn_logit_softcapping", None) is not None
        has_sdpa = getattr(self._decoder, "_supports_sdpa", True) and not has_cap
        model.set_attn_implementation({"text_config": SDPA if has_sdpa else EAGER})

    @property
    def number_of_layers(self) -> int:
        """Layers of the language model."""
        return len(self._decoder.layers)

    @property
    def default_batch_size(self) -> int:
        """Questions that are answered together, where nobody says otherwise."""
        return default_batch_size(self._device, on_cpu=4)

    def prepare(self, image: Image.Image) -> Prepared:
        """Preprocess an RGB image by the model's own processor, which shows it whole."""
        block = self._blocks.read(image)
        height, width = map_size(block.views)
        part = GridPart((0, height), (0, width), (0, 0, width, height))
        return Prepared(block.tensors["pixel_values"], part, block)

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
        not at all where it is the last of the batch before, in families whose pictures are read
        alike whatever is asked.

        Args:
            images: B images from `prepare`.
            questions: B questions; an `<image>` in one is taken out, since the prompt has it.
            reads: decoder layers, from 0, or more of what is read.
            unanswered: indices of questions whose prompt's pass alone is read; they have no facts.

        Returns:
            B times maps (len(reads), 1, h, w) of the whole picture, with the facts
            `relevance_grid` ("h x w"), `auxiliary_answer`, `auxiliary_tokens` and, where part of
            an answer is to be highlighted, `highlighted`.

        Raises:
            ValueError: for a question that with its answer does not fit into the model's context.
        """
        asked = as_reads(reads)
        blocks: list[Block] = [image.more for image in images]
        spliced = [
            block.splice(prompt, self._blocks.placeholder)
            for block, prompt in zip(blocks, self._blocks.prompts(questions), strict=True)
        ]
        prompts, starts = [list(part) for part in zip(*spliced, strict=True)]
        self._require_room(max(map(len, prompts)))
        ends = [start + len(block.ids) for start, block in zip(starts, blocks, strict=True)]
        last, self._last = self._last, None
        shared = self._share(images, prompts, ends, last)
        if shared is None or not shared.knows_first:
            last = None  # so that its memory can be used
        of_tokens = kinds_of(prompts, starts, blocks)
        if shared is not None:
            ids, mask, kinds, lefts = pad_twice(prompts, ends, of_tokens, self._pad_token)
            prefixes = self._read_prefixes(shared, ids, mask, kinds, max(ends), blocks, last)
            last = None
        else:
            ids, mask = pad(prompts, 0, self._pad_token)
            lefts = [ids.shape[1] - len(prompt) for prompt in prompts]
            kinds = {name: left(rows, ids.shape[1]) for name, rows in of_tokens.items()}
        places, is_token = places_of(blocks, starts, lefts)

        device = self.model.device
        found: dict[int, Relevance] = {}
        for rows, answered in in_turn(len(images), unanswered):
            if shared is not None:
                cache = self._hand_out(prefixes, [shared.owner[row] for row in rows])
                of_picture: dict[str, Any] = {}
            else:
                cache = fill_cache(self._text_config, [])
                of_picture = self._to_device(
                    collate([blocks[row] for row in rows], self._blocks.family.counted)
                )
            if self._shares:
                of_picture[CACHE] = cache
            looked_at = {name: of_all[rows].to(device) for name, of_all in kinds.items()}
            there = None if is_token is None else is_token[rows]
            with reading(self._decoder.layers, asked, places[rows], there) as readers:
                answers = self._generate(ids[rows], mask[rows], looked_at | of_picture, answered)
            maps = readers.maps  # (S, B, R, N)
            for b, row in enumerate(rows):
                answer = None if answers is None else answers[b]
                found[row] = self._result(maps[:, b], answer, asked, blocks[row])
        if self._shares:
            place = slice(lefts[row], lefts[row] + ends[row])
            deltas = getattr(self.model.model, "rope_deltas", None)
            self._last = Prefix(
                prompts[row][: ends[row]],
                images[row].pixels,
                layers_of(cache, -1, place),
                None if deltas is None else deltas[-1:],
            )
        return [found[row] for row in range(len(images))]

    @property
    def _pad_token(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def _to_device(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Tensors on the model's device; those of levels in its precision."""
        return {
            name: value.to(self.model.device, self.model.dtype)
            if value.is_floating_point()
            else value.to(self.model.device)
            for name, value in tensors.items()
        }

    def _share(
        self,
        images: Sequence[Prepared],
        prompts: Sequence[list[int]],
        ends: Sequence[int],
        last: Prefix | None,
    ) -> Shared | None:
        """The batch's pictures, where reading their prompts' beginnings once each saves anything.

        Args:
            images: B images.
            prompts: B prompts.
            ends: where the beginning of each ends.
            last: what is known of the batch before.
        """
        if not self._shares or any(len(p) <= end for p, end in zip(prompts, ends, strict=True)):
            return None
        prefixes = [prompt[:end] for prompt, end in zip(prompts, ends, strict=True)]
        known = last if last is not None and last.ids in prefixes else None
        shared = share_pictures(images, known and known.pixels)
        one = {0: known.ids} if known is not None and shared.knows_first else {}
        for owner, prefix in zip(shared.owner, prefixes, strict=True):
            if one.setdefault(owner, prefix) != prefix:  # the question comes before the picture
                return None
        return shared if len(shared.new) < len(images) else None

    def _read_prefixes(
        self,
        shared: Shared,
        ids: torch.Tensor,
        mask: torch.Tensor,
        kinds: Mapping[str, torch.Tensor],
        width: int,
        blocks: Sequence[Block],
        last: Prefix | None,
    ) -> _Prefixes:
        """The first `width` tokens of every picture's first row, as the model reads them."""
        parts: list[list[Layer]] = []
        deltas = []
        if last is not None:
            parts.append([tuple(filled_before(part, width) for part in x) for x in last.layers])
            deltas.append(last.deltas)
        firsts = [shared.owner.index(picture) for picture in range(len(shared.pixels))]
        firsts = firsts[len(parts) :]
        base = self.model.model
        has_mrope = hasattr(base, "rope_deltas")  # it works positions out by itself
        if firsts:
            device = self.model.device
            seen = mask[firsts, :width].to(device)
            positions = {} if has_mrope else {"position_ids": (seen.cumsum(-1) - 1).clamp(min=0)}
            cache: Any = fill_cache(self._text_config, [])
            base(
                input_ids=ids[firsts, :width].to(device),
                attention_mask=seen,
                use_cache=True,
                **positions,
                **{name: rows[firsts, :width].to(device) for name, rows in kinds.items()},
                **self._to_device(
                    collate([blocks[first] for first in firsts], self._blocks.family.counted)
                ),
                **{CACHE: cache},
            )
            parts.append(layers_of(cache))
            deltas.append(base.rope_deltas if has_mrope else None)
        known = [delta for delta in deltas if delta is not None]
        return _Prefixes(parts, torch.cat(known) if known else None)

    def _hand_out(self, prefixes: _Prefixes, owner: Sequence[int]) -> Any:
        """A cache with each question's picture as the model has read it."""
        if prefixes.rope_deltas is not None:
            index = torch.tensor(owner, device=prefixes.rope_deltas.device)
            self.model.model.rope_deltas = prefixes.rope_deltas[index]
        return fill_cache(self._text_config, hand_out(prefixes.parts, owner))

    def _result(
        self,
        maps: torch.Tensor,
        tokens: torch.Tensor | None,
        reads: Sequence[Read],
        block: Block,
    ) -> Relevance:
        """One sample's maps, of the passes' maps (S, R, N) and tokens (S,) of the batch, if any."""
        mean, facts = self._answer(maps[..., : len(block.places)], tokens, reads)
        whole = one_map(mean.numpy(), block.views)
        height, width = whole.shape[-2:]
        grid = {"relevance_grid": f"{height} x {width}"} if facts else {}
        return Relevance(whole[:, None], {**facts, **grid})
