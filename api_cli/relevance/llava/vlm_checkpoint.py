"""Checkpoints of vision-language models of other families than LLaVA-1.5's."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from typing import Any

import transformers
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from api_cli.errors import ModelError, first_line
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.relevance.llava.families import FAMILIES
from api_cli.relevance.llava.found import Found, known_config, stored_precision
from api_cli.relevance.llava.prefix import is_shareable

_FULL = "full_attention"


class VlmCheckpoint(Found):
    """A vision-language model that was found but not yet loaded.

    Args:
        model_name: a hub id, or a folder in transformers' format.

    Attributes:
        kind_of_model: its family's name in `FAMILIES`.
        number_of_layers: of the language model.
        grid: (0, 0): each picture has its own.
        default_layer: the layer read where nobody says otherwise: `relevance_layer` of the
            model's config.json, else five eighths of the depth, or the nearest that can be read.

    Raises:
        ModelError: where there is no such model, or not one that can be read.
    """

    model_class = AutoModelForImageTextToText
    kind = "vision-language model"
    file_patterns = ("*.json", "*.model", "*.jinja", "*.txt")
    grid = (0, 0)

    def __init__(self, model_name: str) -> None:
        super().__init__(model_name)
        self.kind_of_model = kind_of(self.content)
        text = self._config.get_text_config(decoder=True)
        self.number_of_layers: int = text.num_hidden_layers
        self.precision = stored_precision(self._config)
        five_eighths = self.number_of_layers * 5 // 8
        nearest = min(self.readable_layers, key=lambda n: (abs(n - five_eighths), n))
        self.default_layer: int = self.content.get("relevance_layer", nearest)

    @property
    def readable_layers(self) -> list[int]:
        """Layers with full attention: others see only a window, or have no attention at all."""
        text = self._config.get_text_config(decoder=True)
        kinds: Sequence[str] | None = getattr(text, "layer_types", None)
        if kinds is None:
            return list(range(self.number_of_layers))
        return [layer for layer, kind in enumerate(kinds) if kind == _FULL]

    @property
    def is_shareable(self) -> bool:
        """Whether what is read of a picture is the same whatever is asked, and can be handed on."""
        family = FAMILIES.get(self.kind_of_model)
        is_own = family is not None and family.shareable
        return is_own and is_shareable(self._config.get_text_config(decoder=True))

    @cached_property
    def identity(self) -> str:
        """16 hex digits of a SHA-256 over the model's files and what resizes its pictures."""
        made = f"{super().identity} torchvision {version('torchvision')}"
        return hashlib.sha256(made.encode()).hexdigest()[:16]

    @property
    def config(self) -> Any:
        """transformers' configuration."""
        return self._config

    def create_processor(self) -> Any:
        """The model's processor, its tokenizer padding on the left. Raises ModelError."""
        try:
            processor: Any = AutoProcessor.from_pretrained(self.folder, trust_remote_code=False)
            tokenizer = processor.tokenizer
            tokenizer.padding_side = "left"
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
        except Exception as error:  # transformers raises whatever its parts do
            raise ModelError(
                f"the processor of {self.model_name} could not be loaded ({first_line(error)})"
            ) from error
        return processor

    @cached_property
    def _config(self) -> Any:
        model_type = str(self.content.get("model_type"))
        try:
            config_class: Any = CONFIG_MAPPING[model_type]
            return config_class.from_dict(known_config(self.content, config_class))
        except Exception as error:  # a field of another type, a part that transformers lacks
            raise ModelError(
                f"{self.model_name} cannot be read: its config.json says {first_line(error)}"
            ) from error


def kind_of(content: dict[str, Any]) -> str:
    """The family of a model by its config.json. Raises ModelError for one that cannot be read."""
    model_type = str(content.get("model_type"))
    tower = content.get("vision_config")
    tower_type = tower.get("model_type") if isinstance(tower, dict) else None
    kind = "pixtral" if (model_type, tower_type) == ("llava", "pixtral") else model_type
    family = FAMILIES.get(kind)
    if family is not None and model_type not in CONFIG_MAPPING:
        raise ModelError(
            f"a {kind} needs transformers {family.since or 'of a later version'} or later; "
            f"{transformers.__version__} is installed: pip install --upgrade transformers"
        )
    if family is None and model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ModelError(
            "it is not a LLaVA, nor another model that can be read: its config.json is a "
            f"{content.get('model_type', 'nameless')!r} model's; those that can be read are "
            f"llava, {', '.join(FAMILIES)}"
        )
    return kind


def find_checkpoint(model_name: str) -> LlavaCheckpoint | VlmCheckpoint:
    """The checkpoint of that name, of whatever family. Raises ModelError."""
    content = Found(model_name).content
    if content.get("model_type") == "llava":
        tower = content.get("vision_config")
        if not isinstance(tower, dict) or tower.get("model_type") != "pixtral":
            return LlavaCheckpoint(model_name)
    try:
        return VlmCheckpoint(model_name)
    except ModelError as error:
        raise ModelError(f"{model_name}: {error}") from error
