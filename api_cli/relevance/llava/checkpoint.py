"""LLaVA-1.5's checkpoints, in transformers' format."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from PIL import Image
from transformers import AutoProcessor, LlavaConfig, LlavaForConditionalGeneration

from api_cli.errors import ModelError, UsageError, first_line
from api_cli.relevance.llava.found import (
    DEMO,
    DEMO_FOLDER,
    Found,
    known_config,
    stored_precision,
)

__all__ = ["DEMO", "DEMO_FOLDER", "LlavaCheckpoint", "require_square"]

_PAPER_LAYER = 20  # of LLaVA-1.5, whose 7B has 32 layers and whose 13B has 40


class LlavaCheckpoint(Found):
    """A LLaVA that was found but not yet loaded; weights are downloaded when they must be.

    Args:
        model_name: `7b`, `13b`, `llava-v1.5-7b`, `llava-v1.5-13b`, a hub id, a folder in
            transformers' format, or `demo`.

    Attributes:
        number_of_layers: of the language model.
        grid: rows and columns of the patch grid; one image token a patch.
        default_layer: the layer read where nobody says otherwise: `relevance_layer` of the
            model's config.json, else 20 of LLaVA-1.5, else five eighths of the depth.

    Raises:
        ModelError: where there is no such model, or not one that the method can read.
    """

    model_class = LlavaForConditionalGeneration

    def __init__(self, model_name: str) -> None:
        super().__init__(model_name)
        config = self._config
        vision = config.vision_config
        self.number_of_layers: int = config.text_config.num_hidden_layers
        side = vision.image_size // vision.patch_size
        self.grid = (side, side)
        layer = self.content.get("relevance_layer")
        if layer is None:
            five_eighths = self.number_of_layers * 5 // 8
            layer = _PAPER_LAYER if self.number_of_layers in (32, 40) else five_eighths
        self.default_layer: int = layer
        self.precision = stored_precision(config)

    def create_processor(self) -> Any:
        """The model's processor, its tokenizer padding on the left. Raises ModelError."""
        try:
            processor = AutoProcessor.from_pretrained(self.folder, trust_remote_code=False)
            tokenizer, images = processor.tokenizer, processor.image_processor
            blank = Image.new("RGB", (self._config.vision_config.image_size,) * 2)
            ids = processor(text=processor.image_token, images=blank)["input_ids"]
            mean_and_std = (*images.image_mean, *images.image_std)
        except Exception as error:  # transformers raises whatever its parts do
            raise ModelError(
                f"the processor of {self.model_name} could not be loaded ({first_line(error)}); "
                "it takes a tokenizer and a processor_config.json or preprocessor_config.json"
            ) from error
        tokens = torch.as_tensor(ids).eq(self._config.image_token_id).sum().item()
        patches = self.grid[0] * self.grid[1]
        if tokens != patches or len(mean_and_std) != 6:
            raise ModelError(
                f"{self.model_name}: its processor makes {tokens} image tokens of an image of "
                f"{patches} patches; set patch_size, num_additional_image_tokens (1 for a tower "
                "with a CLS token) and vision_feature_select_strategy in its processor_config.json"
            )
        tokenizer.padding_side = "left"
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return processor

    @cached_property
    def _config(self) -> Any:
        """transformers' configuration, checked to be a LLaVA's that the method can read."""
        content = self.content

        def refuse(why: str) -> ModelError:
            return ModelError(f"{self.model_name} is not a LLaVA that can be read: {why}")

        if content.get("model_type") != "llava":
            raise refuse(f"its config.json is a {content.get('model_type', 'nameless')!r} model's")
        if "vision_config" not in content:
            raise refuse(
                "it is in the authors' own format; take transformers' from llava-hf on the hub, "
                "which 7b and 13b stand for"
            )
        try:
            config: Any = LlavaConfig.from_dict(known_config(content, LlavaConfig))
        except Exception as error:  # a field of another type, a tower that transformers lacks
            raise refuse(f"its config.json says {first_line(error)}") from error
        strategy, tower = config.vision_feature_select_strategy, config.vision_config.model_type
        if (strategy == "default") != (tower == "clip_vision_model"):
            raise refuse(
                f"of a {tower} its vision_feature_select_strategy {strategy!r} does not leave one "
                "token a patch"
            )
        return config


def require_square(fit: str) -> None:
    """Raise UsageError for the one fit that a LLaVA-1.5 cannot have."""
    if fit == "native":
        raise UsageError(
            "--fit native: a LLaVA-1.5 was trained on squares, and its language model on one image "
            "token for each patch of them, in that order; --fit squash, pad and paper work with it"
        )
