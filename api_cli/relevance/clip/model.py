"""CLIP relevance maps: METHOD.md section 1, and its analogues for towers without a CLS row."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from open_clip.transform import PreprocessCfg
from PIL import Image
from torch import nn

from api_cli.options.prompt import without_image_mark
from api_cli.relevance import Prepared, Reads, Relevance, as_reads
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.clip.transform import Transform
from api_cli.relevance.device import autocast, default_batch_size, fused_attention, pick_device
from api_cli.relevance.sharing import Shared, share_pictures
from api_cli.relevance.square import Square, check_choices

_MAX_CACHED_QUESTIONS = 10_000

_Seen = Mapping[int, tuple[torch.Tensor, torch.Tensor]]  # by layer: input and output, (P, T, D)


class _Last(NamedTuple):
    """The last picture of a batch, about which the next may ask as well."""

    pixels: torch.Tensor
    seen: _Seen


class _Text(NamedTuple):
    """A question: its normalised embedding (E,), and whether it was cut at the context length."""

    embedding: torch.Tensor
    is_cut: bool


class ClipRelevance:
    """A CLIP model that tells which patches of an image matter for a question.

    Args:
        checkpoint: which model; see `ClipCheckpoint` for what can be had.
        fit: how a rectangle meets the square grid: "paper", "squash" or "pad".
        device: "auto", or anything `torch.device` takes.
        precision: of the forward pass, "fp32", "bf16" or "fp16"; the maps themselves are always
            computed in float32.

    Attributes:
        model: the open_clip model beneath.
        tokenizer: its tokenizer, texts to (B, context length) int64.

    Raises:
        ModelError: where the model cannot be had, loaded, or read by the method.
        UsageError: for a fit, precision or device that does not exist.
    """

    def __init__(
        self,
        checkpoint: ClipCheckpoint,
        *,
        fit: str = "paper",
        device: str = "auto",
        precision: str = "fp32",
    ) -> None:
        check_choices(fit, precision)
        self._device = pick_device(device)
        model = checkpoint.create_model()
        self.model = model.to(self._device).eval().requires_grad_(False)
        self._visual = self.model.visual
        self._kind = checkpoint.kind
        self._tower = checkpoint.kind.read(self._visual)
        self.tokenizer = checkpoint.create_tokenizer()
        self._precision = precision
        preprocess = PreprocessCfg(**self._visual.preprocess_cfg)
        if fit != "paper":
            preprocess = replace(preprocess, resize_mode="squash")
        self._transform = Transform(preprocess, quick=precision == "bf16")
        self._square = Square(
            fit,
            self.grid,
            preprocess.mean,
            padded_fits=("pad",),
            size=self._transform.size,
            resample=self._transform.resample,
        )
        self._text: dict[str, _Text] = {}
        self._last: _Last | None = None

    @property
    def number_of_layers(self) -> int:
        """Blocks of the image tower."""
        return len(self._tower.blocks)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the patch grid."""
        return self._tower.grid

    @property
    def default_batch_size(self) -> int:
        """Images a forward pass, where nobody says otherwise."""
        return default_batch_size(self._device, on_cpu=8)

    def prepare(self, image: Image.Image) -> Prepared:
        """Preprocess an RGB image by the model's own transform and this model's fit."""
        return self._square.prepare(image, self._transform)

    @torch.inference_mode()
    def relevance(
        self,
        images: Sequence[Prepared],
        questions: Sequence[str],
        reads: Reads,
        unanswered: Collection[int] = (),
    ) -> list[Relevance]:
        """Both maps of every layer asked for, from one forward pass that stops at the last.

        Images that hold the same pixels, as `prepare` made them once, are one picture: it goes
        through the tower once for all its questions, those of the next batch included.

        Args:
            images: B images from `prepare`.
            questions: B questions; an `<image>` in one is taken out.
            reads: indices of blocks, from 0; what else a `Read` may say is of attention.
            unanswered: makes no difference, since nothing is answered.

        Returns:
            B times maps (len(reads), 2, h, w), cls map, then patch map. Facts: `question_cut`,
            true, where the question was longer than the model's context; `map_kind`, where the
            map is an analogue of the published one.
        """
        layers = [read.layer for read in as_reads(reads)]
        last, self._last = self._last, None
        if last is not None and not last.seen.keys() >= set(layers):
            last = None
        shared = share_pictures(images, None if last is None else last.pixels)
        seen = self._see(shared, last, layers)
        texts = self._encode_questions([without_image_mark(q) for q in questions])
        text = torch.stack([one.embedding for one in texts])  # (B, E)

        owner = None if shared.is_one_each else torch.tensor(shared.owner, device=self._device)
        maps = torch.stack(
            [
                torch.stack(self._tower.maps(layer, *seen[layer], text, owner), dim=1)
                for layer in layers
            ],
            dim=1,
        )  # (B, len(layers), 2, N)
        place = shared.owner[-1]
        kept = {
            layer: (x[place, None].clone(), y[place, None].clone())
            for layer, (x, y) in seen.items()
        }
        self._last = _Last(images[-1].pixels, kept)
        kind = {"map_kind": self._kind.name} if self._kind.note else {}
        return [
            Relevance(
                self._square.cut(m, image.part),
                {**kind, "question_cut": True} if one.is_cut else kind,
            )
            for m, image, one in zip(maps.cpu().numpy(), images, texts, strict=True)
        ]

    def _see(self, shared: Shared, last: _Last | None, layers: Sequence[int]) -> _Seen:
        """What the layers make of the pictures; the tower runs on those not just seen."""
        seen: _Seen = {}
        if shared.new:
            pixels = torch.stack(shared.new)
            if self._device.type == "cuda":
                pixels = pixels.pin_memory()
            pixels = pixels.to(self._device, non_blocking=True)
            with (
                _reading(self._tower.blocks, layers) as seen,
                fused_attention(self._device),
                autocast(self._device, self._precision),
            ):
                self._visual.forward_intermediates(
                    pixels, indices=[max(layers)], stop_early=True, intermediates_only=True
                )
        if last is None or not shared.knows_first:
            return seen
        if not seen:
            return last.seen
        return {
            layer: (torch.cat([last.seen[layer][0], x]), torch.cat([last.seen[layer][1], y]))
            for layer, (x, y) in seen.items()
        }

    def _encode_questions(self, questions: Sequence[str]) -> list[_Text]:
        """Each question's text, float32; equal questions are encoded once."""
        if len(self._text) > _MAX_CACHED_QUESTIONS:
            self._text.clear()
        new = [q for q in dict.fromkeys(questions) if q not in self._text]
        if new:
            tokens = self.tokenizer(new)
            cut = are_cut(self.tokenizer, new, tokens)
            with autocast(self._device, self._precision):
                text = self.model.encode_text(tokens.to(self._device))
            text = nn.functional.normalize(text.float(), dim=-1)
            self._text.update(zip(new, map(_Text, text, cut), strict=True))
        return [self._text[q] for q in questions]


def are_cut(tokenizer: Any, questions: list[str], tokens: torch.Tensor) -> list[bool]:
    """Whether each question is longer than its tokens (B, L): one more token would change them.

    It would take the place of the end-of-text token, or of padding where a tokenizer has none.
    """
    length = tokens.shape[1]
    longer = tokenizer(questions, context_length=length + 1)
    padding = getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", 0)
    is_cut = (longer[:, :length] != tokens).any(dim=1) | (longer[:, length] != padding)
    return [bool(one) for one in is_cut]


@contextmanager
def _reading(
    blocks: Any, layers: Sequence[int]
) -> Iterator[dict[int, tuple[torch.Tensor, torch.Tensor]]]:
    """Note input and output, (P, T, D), of the given blocks during the forward pass within."""
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def note(layer: int) -> Any:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            seen[layer] = (inputs[0], output)

        return hook

    handles = [blocks[layer].register_forward_hook(note(layer)) for layer in set(layers)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
