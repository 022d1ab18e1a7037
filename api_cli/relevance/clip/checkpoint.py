"""Finding CLIP checkpoints: names, tags, hub ids, files and folders to one loaded model."""

from __future__ import annotations

import difflib
import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
from open_clip.factory import HF_HUB_PREFIX
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.transformer import QuickGELU
from open_clip.utils import to_2tuple

from api_cli.errors import ModelError, first_line

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parents[2] / "models" / "demo_clip"
SUPPORTED = "open_clip ViTs with a CLS token, CLS pooling and a projection, such as ViT-L-14-336"

_FOLDER = "local-dir:"  # open_clip's scheme
_CONFIG_NAME = "open_clip_config.json"
_WEIGHTS_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)


class ClipCheckpoint:
    """A CLIP model that was found but not yet loaded; nothing is downloaded before it must be.

    Args:
        model_name: an open_clip architecture, `hf-hub:OWNER/NAME`, a folder with
            `open_clip_config.json` and weights, or `demo`.
        pretrained: open_clip tag or weights file, for an architecture only; default `openai`.

    Attributes:
        model_name: as given.
        number_of_layers: blocks of the image tower.
        grid: rows and columns of its patch grid.
        quick_gelu: whether the model's activation is QuickGELU.
        default_layer: the second-to-last, which does best together with the one before it.
        precision: fp32.

    Raises:
        ModelError: where there is no such model, or not one that the method can read.
    """

    default_layer = -2
    precision = "fp32"

    def __init__(self, model_name: str, pretrained: str | None = None) -> None:
        self.model_name = model_name
        self._tag: str | None = None
        self._file: Path | None = None
        name = f"{_FOLDER}{DEMO_FOLDER}" if model_name == DEMO else model_name
        if Path(name).is_dir() and open_clip.get_model_config(name) is None:
            name = f"{_FOLDER}{name}"
        self._is_architecture = not name.startswith((_FOLDER, HF_HUB_PREFIX))
        self._open_clip_name = name.replace("/", "-") if self._is_architecture else name
        if pretrained is not None and not self._is_architecture:
            raise ModelError(
                f"--pretrained {pretrained} does not go with --model-name {model_name}, "
                "which brings its own weights; leave one of them out"
            )
        if name.startswith(_FOLDER):
            self._file = _weights_in(Path(name.removeprefix(_FOLDER)))
        config = self._read_config()
        self.number_of_layers = _readable_layers(model_name, config)
        vision = open_clip.CLIPVisionCfg(**config["vision_cfg"])
        (height, width), (dy, dx) = to_2tuple(vision.image_size), to_2tuple(vision.patch_size)
        self.grid = (height // dy, width // dx)
        self.quick_gelu = bool(config.get("quick_gelu", False))
        if self._is_architecture:
            self._choose_weights(pretrained or "openai")
        self._check_quick_gelu(pretrained)

    @cached_property
    def weights_file(self) -> Path:
        """The weights on disk, downloaded where necessary. Raises ModelError."""
        if self._file is not None:
            return self._file
        try:
            if self._tag is not None:
                tag = open_clip.get_pretrained_cfg(self._open_clip_name, self._tag)
                return Path(open_clip.download_pretrained(tag))
            return Path(download_pretrained_from_hf(self._open_clip_name[len(HF_HUB_PREFIX) :]))
        except Exception as error:  # hub, network and file errors of several libraries
            raise ModelError(
                f"the weights of {self._title} could not be downloaded ({first_line(error)}); "
                "download them on a machine with a network and pass --pretrained FILE, "
                "or try --model-name demo"
            ) from error

    @property
    def weights_files(self) -> list[Path]:
        """The weights file alone. Raises ModelError."""
        return [self.weights_file]

    @cached_property
    def identity(self) -> str:
        """16 hex digits of the SHA-256 of the weights file."""
        with self.weights_file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    def create_model(self) -> Any:
        """The open_clip model with its weights, float32 on the CPU. Raises ModelError."""
        file = self.weights_file
        try:
            model = open_clip.create_model(
                self._open_clip_name,
                pretrained=self._tag or (str(file) if self._is_architecture else None),
                force_quick_gelu=self.quick_gelu,
                require_pretrained=True,
                weights_only=True,
            )
        except Exception as error:  # open_clip raises whatever its parts do
            raise ModelError(
                f"{file} could not be loaded as {self._title}: {first_line(error)}; it must hold "
                "a state dict of that architecture, as safetensors or saved by torch.save"
            ) from error
        activation = model.visual.transformer.resblocks[0].mlp.gelu
        if isinstance(activation, QuickGELU) is not self.quick_gelu:
            raise ModelError(f"{self._title}: open_clip built it with the wrong activation")
        return model.float()

    def create_tokenizer(self) -> Any:
        """The model's tokenizer: list of texts to (B, context length) int64. Raises ModelError."""
        try:
            return open_clip.get_tokenizer(self._open_clip_name)
        except Exception as error:  # open_clip and transformers raise whatever their parts do
            raise ModelError(
                f"the tokenizer of {self._title} could not be loaded: {first_line(error)}"
            ) from error

    @property
    def short_name(self) -> str:
        """The model's name as part of a folder's name: without scheme, path and separators."""
        if self._open_clip_name.startswith(_FOLDER) and self.model_name != DEMO:
            return Path(self._open_clip_name.removeprefix(_FOLDER)).resolve().name
        return self.model_name.removeprefix(HF_HUB_PREFIX).replace("/", "_")

    @property
    def _title(self) -> str:
        weights = self._tag or (self._file.name if self._is_architecture and self._file else "")
        return f"{self.model_name} ({weights})" if weights else self.model_name

    def _read_config(self) -> dict[str, Any]:
        try:
            config = open_clip.get_model_config(self._open_clip_name)
        except Exception as error:  # missing files, hub and network errors of several libraries
            raise ModelError(
                f"model {self.model_name}: its {_CONFIG_NAME} could not be read "
                f"({first_line(error)})"
            ) from error
        if config is None:
            known = open_clip.list_models()
            near = difflib.get_close_matches(self._open_clip_name, known, n=3)
            hint = f", did you mean {' or '.join(near)}" if near else ""
            raise ModelError(
                f"unknown model {self.model_name!r}{hint}? Give an open_clip architecture "
                "(ViT-L-14-336), hf-hub:OWNER/NAME, a folder with open_clip_config.json, or demo"
            )
        return dict(config)

    def _choose_weights(self, pretrained: str) -> None:
        """Take `pretrained` as a tag, or as a file."""
        tags = open_clip.list_pretrained_tags_by_model(self._open_clip_name)
        tag = open_clip.get_pretrained_cfg(self._open_clip_name, pretrained)
        if tag:
            self._tag = pretrained
            # an architecture without QuickGELU is given it where its weights were trained so
            self.quick_gelu = bool(tag.get("quick_gelu", False))
        elif Path(pretrained).is_file():
            self._file = Path(pretrained)
        else:
            raise ModelError(
                f"{self.model_name} has no weights {pretrained!r}: pass --pretrained with a file "
                f"or a tag of this architecture ({', '.join(tags) or 'it has none'})"
            )

    def _check_quick_gelu(self, pretrained: str | None) -> None:
        """Refuse weights that say they are OpenAI's under an architecture without QuickGELU."""
        name = f"{self.model_name} {pretrained or ''}".casefold()
        if self._tag is None and "openai" in name and not self.quick_gelu:
            raise ModelError(
                f"{self._title}: OpenAI's weights need QuickGELU, which this architecture lacks; "
                f"use --model-name {self.model_name}-quickgelu, "
                'or "quick_gelu": true in the configuration'
            )


def _weights_in(folder: Path) -> Path:
    """The weights file of a model folder: a well-known name, or the only one there is."""
    for name in _WEIGHTS_NAMES:
        if (folder / name).is_file():
            return folder / name
    found = [f for f in sorted(folder.glob("*")) if f.suffix in (".safetensors", ".bin", ".pth")]
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise ModelError(
            f"{folder}: expected {_CONFIG_NAME} and one weights file such as {_WEIGHTS_NAMES[0]}; "
            f"weights files found: {names}"
        )
    return found[0]


def _readable_layers(model_name: str, config: dict[str, Any]) -> int:
    """Number of blocks of the image tower. Raises ModelError for a tower of another kind."""

    def refuse(why: str) -> ModelError:
        return ModelError(f"{model_name}: {why}; supported: {SUPPORTED}")

    vision = config.get("vision_cfg", {})
    if vision.get("timm_model_name"):
        raise refuse(f"its image tower is timm's {vision['timm_model_name']}, not open_clip's ViT")
    layers = vision.get("layers", 12)
    if not isinstance(layers, int):
        raise refuse("its image tower is a ResNet")
    if vision.get("attentional_pool"):
        raise refuse("its image tower pools by attention, not by the CLS token")
    if vision.get("pool_type", "tok") != "tok":
        raise refuse(f"its image tower pools by {vision['pool_type']!r}, not by the CLS token")
    for extra in ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn"):
        if vision.get(extra):
            raise refuse(f"its attention has {extra}")
    return layers
