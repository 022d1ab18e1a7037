"""Finding CLIP checkpoints: names, tags, hub ids, files and folders to one loaded model."""

from __future__ import annotations

import difflib
import hashlib
import json
import pickle
from collections.abc import Iterable
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import regex
from open_clip.factory import HF_HUB_PREFIX, load_checkpoint
from open_clip.model import set_model_preprocess_cfg
from open_clip.pretrained import download_pretrained_from_hf
from open_clip.tokenizer import HFTokenizer
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from open_clip.transformer import QuickGELU

from api_cli.errors import ModelError, first_line
from api_cli.relevance.clip.towers.table import Unreadable, find_tower
from api_cli.relevance.known_keys import only

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parents[2] / "models" / "demo_clip"
SUPPORTED = (
    "open_clip ViTs with a CLS token such as ViT-L-14-336, CoCa, CLIPA, EVA-01, EVA-02 (not E), "
    "MobileCLIP-B and -L, SigLIP, SigLIP 2 and PE-Core"
)

_FOLDER = "local-dir:"  # open_clip's scheme
_CONFIG_NAME = "open_clip_config.json"
_WEIGHTS_NAMES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")  # .pt: open_clip's trainer's

# what a configuration out of a folder or from the hub may say; not which code, weights or other
# models to fetch (transformers' towers, tokenizer_kwargs); timm's towers are a fixed table's
_MODEL_KEYS = (
    *("embed_dim", "quick_gelu", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale"),
)
_VISION_KEYS = [f.name for f in fields(open_clip.CLIPVisionCfg) if "timm" not in f.name]
_TIMM_KEYS = ("image_size", "timm_model_name", "timm_pool", "timm_proj", "timm_proj_bias")
_TEXT_KEYS = [
    field.name
    for field in fields(open_clip.CLIPTextCfg)
    if not field.name.startswith(("hf_", "tokenizer_"))
]
_CAPTION_KEYS = (*_TEXT_KEYS, "mlp_ratio", "dim_head", "n_queries", "attn_pooler_heads")
_LAYER_KEYS = {"norm_kwargs": ("eps",), "act_kwargs": ("approximate",)}
_TOKENIZER_KEYS = ("clean", "strip_sep_token")


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
        kind: of image tower.
        default_layer: the second-to-last, which does best together with the one before it; the
            last of a tower that pools by attention, as it has no CLS row to read before.
        precision: fp32.

    Raises:
        ModelError: where there is no such model, or not one that the method can read.
    """

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
        self._config = config = self._read_config()
        try:
            tower = find_tower(config.get("vision_cfg", {}))
        except Unreadable as why:
            raise ModelError(f"{model_name}: {why}; supported: {SUPPORTED}") from None
        self.kind = tower.kind
        self.number_of_layers = tower.layers
        self.grid = tower.grid
        self.default_layer = tower.kind.default_layer
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
            model = self._build() if self._is_architecture else self._build_from_files()
        except Exception as error:  # open_clip raises whatever its parts do
            raise ModelError(
                f"{file} could not be loaded as {self._title}: {_reason(error)}; it must hold "
                "a state dict of that architecture, as safetensors or saved by torch.save"
            ) from error
        own = getattr(model.visual, "transformer", None)  # timm's towers have their own activation
        if own and isinstance(own.resblocks[0].mlp.gelu, QuickGELU) is not self.quick_gelu:
            raise ModelError(f"{self._title}: open_clip built it with the wrong activation")
        return model.float()

    def create_tokenizer(self) -> Any:
        """The model's tokenizer: list of texts to (B, context length) int64. Raises ModelError.

        What looks like a special token in a text is text like any other.
        """
        try:
            tokenizer = (
                open_clip.get_tokenizer(self._open_clip_name)
                if self._is_architecture
                else self._create_tokenizer_from_files()
            )
            if isinstance(tokenizer, HFTokenizer):
                tokenizer.tokenizer.split_special_tokens = True
            else:
                special = "|".join(tokenizer.decoder[i] for i in tokenizer.all_special_ids)
                pattern = tokenizer.pat.pattern.removeprefix(f"{special}|")
                tokenizer.pat = regex.compile(pattern, regex.IGNORECASE)
            return tokenizer
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

    def _build(self) -> Any:
        """An architecture that open_clip itself knows."""
        return open_clip.create_model(
            self._open_clip_name,
            pretrained=self._tag or str(self.weights_file),
            force_quick_gelu=self.quick_gelu,
            require_pretrained=True,
            weights_only=True,
        )

    def _build_from_files(self) -> Any:
        """A model of a folder or the hub, as its configuration describes it and no further."""
        config = self._config
        vision = config["vision_cfg"]
        kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
        captions = {}
        if config.get("multimodal_cfg"):
            kind = open_clip.CoCa
            captions["multimodal_cfg"] = _tower(config["multimodal_cfg"], _CAPTION_KEYS)
        model = kind(
            **only(config, _MODEL_KEYS),
            **captions,
            vision_cfg=_tower(vision, _TIMM_KEYS if "timm_model_name" in vision else _VISION_KEYS)
            | {"timm_model_pretrained": False},
            text_cfg=_tower(config["text_cfg"], _TEXT_KEYS),
        )
        load_checkpoint(model, str(self.weights_file), weights_only=True)
        preprocess = merge_preprocess_dict(PreprocessCfg(), config["preprocess_cfg"] or {})
        set_model_preprocess_cfg(model, preprocess | {"size": model.visual.image_size})
        return model

    def _create_tokenizer_from_files(self) -> Any:
        text = self._config["text_cfg"]
        known = only(text.get("tokenizer_kwargs"), _TOKENIZER_KEYS)
        length = text.get("context_length", open_clip.CLIPTextCfg.context_length)
        name = text.get("hf_tokenizer_name")
        if not name:
            return open_clip.SimpleTokenizer(context_length=length, **only(known, ("clean",)))
        folder = self._open_clip_name.removeprefix(_FOLDER)
        return HFTokenizer(
            folder if self._open_clip_name.startswith(_FOLDER) else name,
            context_length=length,
            tokenizer_mode=text.get("tokenizer_mode"),
            trust_remote_code=False,
            **known,
        )

    def _read_config(self) -> dict[str, Any]:
        """What open_clip, a folder or the hub knows of the model, and `preprocess_cfg` with it."""
        try:
            if self._is_architecture:
                config = open_clip.get_model_config(self._open_clip_name)
            else:
                whole = json.loads(self._find_config().read_text(encoding="utf-8"))
                config = {**whole.get("model_cfg", whole)}
                config["preprocess_cfg"] = only(whole, ["preprocess_cfg"]).get("preprocess_cfg")
                for tower in ("vision_cfg", "text_cfg"):
                    if not isinstance(config.get(tower), dict):
                        raise ValueError(f"it has no {tower}")
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
        if not self._is_architecture and config["text_cfg"].get("hf_model_name"):
            raise ModelError(
                f"{self.model_name}: its text tower is another model of the hub's "
                f"({config['text_cfg']['hf_model_name']}), which a checkpoint's files are not "
                f"trusted to name; supported: {SUPPORTED}"
            )
        return dict(config)

    def _find_config(self) -> Path:
        """The configuration's file, downloaded where necessary."""
        if self._open_clip_name.startswith(_FOLDER):
            return Path(self._open_clip_name.removeprefix(_FOLDER)) / _CONFIG_NAME
        hub_id = self._open_clip_name.removeprefix(HF_HUB_PREFIX)
        return Path(download_pretrained_from_hf(hub_id, filename=_CONFIG_NAME))

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
    found = [file for file in sorted(folder.glob("*")) if file.suffix in _WEIGHTS_SUFFIXES]
    if not found:
        raise ModelError(
            f"{folder}: expected {_CONFIG_NAME} and one weights file such as {_WEIGHTS_NAMES[0]}; "
            "there is none"
        )
    if len(found) > 1:  # a trainer's folder: which epoch is meant is not for us to say
        raise ModelError(
            f"{folder}: which weights are meant? There are "
            f"{', '.join(file.name for file in found)}; pass a folder with a copy of "
            f"{_CONFIG_NAME} and one of them, or a link to it"
        )
    return found[0]


def _tower(config: object, known: Iterable[str]) -> dict[str, Any]:
    """A tower's known keys, down to those of its layers' own arguments."""
    tower = only(config, known)
    for name, keys in _LAYER_KEYS.items():
        if tower.get(name) is not None:
            tower[name] = only(tower[name], keys)
    return tower


def _reason(error: Exception) -> str:
    """What went wrong, but for torch's advice to load a file that may run code."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return "it holds more than tensors, and what is more than tensors can run code"
    return first_line(error)
