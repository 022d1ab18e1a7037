"""The models behind the page, and what is drawn from what they found out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from PIL import Image

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.masking import Array, Box, Method
from api_cli.masking.renderings import RENDERINGS, Scene
from api_cli.options.config import MODEL
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.options.run import RunConfig
from api_cli.relevance import Checkpoint, Read, RelevanceModel
from api_cli.relevance.auxiliaries import auxiliary_of
from api_cli.relevance.layers import resolve_layers
from api_cli.runs.jobs import Found
from api_cli.runs.pictures import decode, head_of
from api_cli.runs.settings import SWEPT, mask_settings, reads_of

SOFTMAXES = ("image", "all")
TOKEN_WEIGHTS = ("even", "linear", "first")


class Picture(NamedTuple):
    """An uploaded picture: its file's name, and its pixels in RGB."""

    name: str
    image: Image.Image


class Look(NamedTuple):
    """What a model found out about a picture and a question, in every layer.

    Attributes:
        picture: it was.
        question: it was asked.
        config: with which it was asked; its mask's values count for nothing.
        method: what is made of the maps.
        found: the maps, those of the general question among them where it was asked.
        box: the picture's outline on the grid, in cells.
        checkpoint: whose layers they are.
    """

    picture: Picture
    question: str
    config: RunConfig
    method: Method
    found: Found
    box: Box
    checkpoint: Checkpoint

    @property
    def layers(self) -> int:
        """Layers that were read, counted from 0."""
        return self.checkpoint.number_of_layers

    @property
    def answer(self) -> str:
        """The auxiliary model's own; empty for CLIP."""
        return str(self.found.facts.get("auxiliary_answer", ""))


class _Loaded(NamedTuple):
    method: Method
    checkpoint: Checkpoint
    model: RelevanceModel


class Studio:
    """Models that were asked for, kept, each at work on one question at a time.

    Args:
        max_pixels: of a picture.
        kept: models in memory at most.
    """

    def __init__(self, max_pixels: int, kept: int = 2) -> None:
        self._max_pixels = max_pixels
        self._kept = kept
        self._models: dict[tuple[Any, ...], _Loaded] = {}
        self._lock = Lock()

    def open(self, path: Path) -> Picture:
        """An uploaded file's picture.

        Raises:
            OSError, ValueError: where it is none, is damaged, or has too many pixels.
        """
        content = path.read_bytes()
        try:
            width, height = head_of(content).size
        except Image.DecompressionBombError as error:
            raise ValueError(f"{path.name}: {error}") from error
        if width * height > self._max_pixels:
            raise ValueError(
                f"{path.name} has {width:,} x {height:,} pixels; "
                f"{self._max_pixels // 10**6} million are the most that is taken"
            )
        return Picture(path.name, decode(content))

    def look(self, picture: Picture, question: str, config: RunConfig) -> Look:
        """Ask a model, loaded if need be, and read all its layers.

        Raises:
            UsageError: for want of a question.
            ApipromptError: for a model that will not do.
        """
        if not question.strip():
            raise UsageError("ask something about the picture first")
        with self._lock:
            method, checkpoint, model = self._load(config)
            if isinstance(config, LlavaConfig):  # of the passes; no other model
                model.highlight = config.highlight  # type: ignore[attr-defined]
            reads = _all_reads(config, checkpoint)
            prepared = model.prepare(picture.image)
            is_attention = isinstance(config, LlavaConfig)  # which may be relative to another
            questions = [question, *([config.relative_to] if is_attention else [])]
            asked, *others = model.relevance(
                [prepared] * len(questions), questions, reads, range(1, len(questions))
            )
        maps: dict[Read, Array] = dict(zip(reads, asked.maps, strict=True))
        for other in others:
            maps |= {read.of_prompt: map_ for read, map_ in zip(reads, other.maps, strict=True)}
        height, width = asked.maps.shape[-2:]
        box = prepared.part.box
        return Look(
            picture,
            question,
            config,
            method,
            Found(maps, asked.facts),
            box if any(box) else (0, 0, width, height),
            checkpoint,
        )

    def _load(self, config: RunConfig) -> _Loaded:
        key = _key(config, ("highlight",))
        if key not in self._models:
            while len(self._models) >= self._kept:
                self._models.pop(next(iter(self._models)))
            auxiliary = auxiliary_of(config, Console(quiet=True), Launch())
            checkpoint = auxiliary.find()
            precision = checkpoint.precision if config.precision == "auto" else config.precision
            self._models[key] = _Loaded(auxiliary.method, checkpoint, auxiliary.load(precision))
        return self._models[key]


def asked_alike(one: RunConfig, other: RunConfig) -> bool:
    """Whether what a model found out under one choice serves the other as well."""
    return _key(one) == _key(other)


def _key(config: RunConfig, passed_over: Collection[str] = ()) -> tuple[Any, ...]:
    """What a model is loaded and asked with, but for fields that are passed over."""
    names = sorted(n for n, option in config.options().items() if option.panel == MODEL)
    no_matter = ("layer_index", "batch_size", *SWEPT, *passed_over)
    return (type(config), *(getattr(config, name) for name in names if name not in no_matter))


def draw(look: Look, config: RunConfig) -> tuple[Mapping[str, Image.Image], bool]:
    """The pictures of a look in the first of each of a configuration's values.

    Returns:
        Pictures by the manifest's column, and whether the map was flat.

    Raises:
        UsageError: for a layer that the model has not, or that cannot be read.
    """
    values = {name: getattr(config, name)[0] for name in SWEPT}
    settings = mask_settings(values)
    [layers, *_] = resolve_layers(config.layer_index, look.checkpoint)
    reads = reads_of(layers, values)
    general = None
    if settings.relative != "none":
        general = look.found.mean(read.of_prompt for read in reads)
    mask = look.method.make_mask(look.found.mean(reads), settings, general)
    scene = Scene(look.picture.image, mask, look.box, settings.interpolate_method_name)
    return RENDERINGS[settings.render].draw(scene, settings).images, mask.flat


def _all_reads(config: RunConfig, checkpoint: Checkpoint) -> list[Read]:
    layers = getattr(checkpoint, "readable_layers", range(checkpoint.number_of_layers))
    if not isinstance(config, LlavaConfig):
        return [Read(layer) for layer in layers]
    return [
        Read(layer, softmax, tokens)
        for layer in layers
        for softmax in SOFTMAXES
        for tokens in TOKEN_WEIGHTS
    ]
