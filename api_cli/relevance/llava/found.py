"""Finding checkpoints in transformers' format: names, hub ids and folders to one loaded model."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import torch
from huggingface_hub import errors, hf_hub_download, snapshot_download
from huggingface_hub.utils import logging as hub_logging
from transformers import CONFIG_MAPPING, AutoConfig, BitsAndBytesConfig
from transformers.utils import logging

from api_cli.errors import ModelError, UsageError, first_line
from api_cli.options.preset import SHORT_NAMES
from api_cli.relevance.device import DTYPES, has_room
from api_cli.relevance.known_keys import only

DEMO = "demo"
DEMO_FOLDER = Path(__file__).parents[2] / "models" / "demo_llava"

_HUB_IDS = {
    "llava-v1.5-7b": "llava-hf/llava-1.5-7b-hf",
    "llava-v1.5-13b": "llava-hf/llava-1.5-13b-hf",
}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_OLD_KEYS = (  # which transformers still understands
    "torch_dtype", "rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor",
    "sliding_window_pattern", "full_attention_interval", "image_default_input_size",
    "image_patch_size", "image_num_pos", "vit_layers", "vision_use_head",
)  # fmt: skip
_NOT_OF_FILES = {"_name_or_path"}
_EXPECTED = "give 7b, 13b, a hub id (OWNER/NAME), a folder written by save_pretrained, or demo"


class Found:
    """A model that was found but not yet loaded; weights are downloaded when they must be.

    Args:
        model_name: `7b`, `13b`, `llava-v1.5-7b`, `llava-v1.5-13b`, a hub id, a folder in
            transformers' format, or `demo`.

    Attributes:
        model_name: as given.
        short_name: the model's name as part of a folder's name.

    Raises:
        ModelError: where there is no such model.
    """

    model_class: ClassVar[Any]
    """transformers' class, or one of its Auto classes."""
    kind: ClassVar[str] = "LLaVA"
    """What error messages call such a model."""
    file_patterns: ClassVar[tuple[str, ...]] = ("*.json", "*.model")
    """The files beside the weights that decide how they are used."""
    precision: str
    """Of the weights as they are stored, a key of `device.DTYPES`."""
    _config: Any

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name
        name = SHORT_NAMES.get(model_name, model_name)
        self._hub_id: str | None = None
        if name == DEMO:
            self._folder = DEMO_FOLDER
        elif Path(name).is_dir():
            self._folder = Path(name)
        elif name in _HUB_IDS or _HUB_ID.fullmatch(name):
            self._hub_id = _HUB_IDS.get(name, name)
        else:
            near = difflib.get_close_matches(name, [*_HUB_IDS, *SHORT_NAMES, DEMO], n=1, cutoff=0.5)
            hint = f", did you mean {near[0]}" if near else ""
            raise ModelError(f"unknown model {model_name!r}{hint}? For LLaVA, {_EXPECTED}")
        is_folder = self._hub_id is None and name != DEMO
        self.short_name = self._folder.resolve().name if is_folder else name.replace("/", "_")

    @cached_property
    def folder(self) -> Path:
        """The model's files on disk, downloaded where necessary. Raises ModelError."""
        if self._hub_id is None:
            return self._folder
        patterns = [*self.file_patterns, "*.safetensors"]
        with self._explained():
            return Path(snapshot_download(self._hub_id, allow_patterns=patterns))

    @property
    def weights_files(self) -> list[Path]:
        """The weights' files and what else decides how they are used. Raises ModelError."""
        weights = sorted(self.folder.glob("*.safetensors"))
        if not weights:
            raise ModelError(
                f"{self.folder}: no *.safetensors; save the model with save_pretrained, "
                "which writes them"
            )
        others = [sorted(self.folder.glob(pattern)) for pattern in self.file_patterns]
        return weights + list(chain(*others))

    @cached_property
    def identity(self) -> str:
        """16 hex digits of a SHA-256 over the model's files."""
        digest = hashlib.sha256()
        for file in self.weights_files:
            digest.update(f"{file.name} {_digest(file)}\n".encode())
        return digest.hexdigest()[:16]

    @cached_property
    def content(self) -> dict[str, Any]:
        """What config.json holds. Raises ModelError where it cannot be had."""
        with self._explained():
            path = (
                self._folder / "config.json"
                if self._hub_id is None
                else Path(hf_hub_download(self._hub_id, "config.json"))
            )
            return dict(json.loads(path.read_text(encoding="utf-8")))

    def create_model(
        self, device: torch.device, precision: str, load_in: str | None, *, spread: bool
    ) -> Any:
        """The transformers model with its weights. Raises ModelError.

        Args:
            device: to put it on.
            precision: a key of `device.DTYPES`.
            load_in: "8bit" or "4bit" for weights so quantised by bitsandbytes.
            spread: whether a model too large for the device's free memory is spread over all
                GPUs, and the CPU, by accelerate's device map.
        """
        dtype = DTYPES[precision]
        options: dict[str, Any] = {}
        bits = 8 * dtype.itemsize
        if load_in is not None:
            require_bitsandbytes(load_in)
            bits = int(load_in.removesuffix("bit"))
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_8bit=bits == 8, load_in_4bit=bits == 4, bnb_4bit_compute_dtype=dtype
            )
        stored = sum(f.stat().st_size for f in self.weights_files if f.suffix == ".safetensors")
        size = stored * bits // (8 * DTYPES[self.precision].itemsize)
        options["device_map"] = "auto" if spread and not has_room(device, size) else {"": device}
        try:
            with _quiet():
                loaded: Any = self.model_class.from_pretrained(
                    self.folder,
                    config=deepcopy(self._config),
                    dtype=dtype,
                    output_loading_info=True,
                    trust_remote_code=False,
                    **options,
                )
        except Exception as error:  # transformers raises whatever its parts do
            out_of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
            way_out = (
                "it does not fit into memory: try --precision bf16, --load-in 8bit or 4bit, or a "
                "smaller model"
                if out_of_memory
                else f"its files must be those of a {self.model_class.__name__}"
            )
            raise ModelError(
                f"{self.model_name} could not be loaded from {self.folder} "
                f"({first_line(error)}); {way_out}"
            ) from error
        model, info = loaded
        wrong = [*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])]
        if wrong:
            raise ModelError(
                f"{self.folder}: weights that the model needs are missing or of another shape: "
                f"{', '.join(sorted(wrong)[:3])}{', ...' if len(wrong) > 3 else ''}"
            )
        return model.eval().requires_grad_(False)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the hub and the disk raise within into one line for the user."""
        where = f" on the hub ({self._hub_id})" if self._hub_id else ""
        verbosity = hub_logging.get_verbosity()
        hub_logging.set_verbosity_error()  # not a line for each attempt; downloads show a bar
        try:
            yield
        except errors.GatedRepoError as error:
            raise ModelError(
                f"{self.model_name}{where} asks for a permission: get it on its page, and pass "
                "HF_TOKEN or log in with `hf auth login`"
            ) from error
        except errors.RepositoryNotFoundError as error:
            raise ModelError(
                f"unknown model {self.model_name!r}: no such repository{where}; {_EXPECTED}"
            ) from error
        except (errors.RemoteEntryNotFoundError, ValueError, TypeError) as error:
            raise ModelError(
                f"{self.model_name} is not a {self.kind}{where}: no config.json that can be read "
                f"({first_line(error)})"
            ) from error
        except OSError as error:  # among them that the hub cannot be reached
            if self._hub_id is None:
                raise ModelError(
                    f"{self.model_name} is not a {self.kind}: {first_line(error)}; expected "
                    "config.json and weights, as save_pretrained writes them"
                ) from error
            raise ModelError(
                f"{self.model_name}{where} is not in the cache and the hub cannot be reached "
                f"({first_line(error)}); download it on a machine with a network and pass its "
                "folder, or try --model-name demo"
            ) from error
        finally:
            hub_logging.set_verbosity(verbosity)


def stored_precision(config: Any) -> str:
    """A configuration's, of its own or its language model's weights; a key of `DTYPES`."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    return names.get(config.dtype or config.text_config.dtype, "fp32")


def known_config(content: dict[str, Any], config_class: Any) -> dict[str, Any]:
    """Those keys of a config.json that shape a model of that class, down to its parts' own."""
    usual = config_class()
    parts = dict(config_class.sub_configs)
    if "vision_config" in parts:
        parts["vit_config"] = parts["vision_config"]  # its old name
    known = {*usual.to_dict(), *config_class.attribute_map, *parts, *_OLD_KEYS} - _NOT_OF_FILES
    if "text_config" in parts and "text_config" not in content:  # once, its keys were the whole's
        known |= {*usual.text_config.to_dict()} - _NOT_OF_FILES
    config = only(content, sorted(known))
    for name, part_class in parts.items():
        part = config.get(name)
        if not isinstance(part, dict):
            continue
        if part_class is AutoConfig:
            part_class = CONFIG_MAPPING[part.get("model_type", getattr(usual, name).model_type)]
        config[name] = known_config(part, part_class)
    return config


def require_bitsandbytes(load_in: str) -> None:
    """Raises UsageError where bitsandbytes, which quantises, is not installed."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(
            f"--load-in {load_in} needs bitsandbytes, which is not installed: "
            "pip install 'apiprompt[bitsandbytes]'"
        )


def _digest(file: Path) -> str:
    """A file's SHA-256; the hub's cache calls large files by it, so they need not be read."""
    content = file.resolve()
    if content.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", content.name):
        return content.name
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting on the terminal while it loads what is on the disk."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
