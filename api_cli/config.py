"""Configurations: one frozen dataclass a command; flags > environment > YAML > defaults.

A field here is at once a flag (`layer_index`: `--layer-index` or `--layer_index`), a variable
(`APIPROMPT_LAYER_INDEX`), a YAML key and, validated, an attribute. `cli.py` makes its flags from
these fields, so each is described once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from api_cli import parsers
from api_cli.options import Option, find_config, option, parse_all, plain, read_yaml
from api_cli.prompt import MAX_NEW_TOKENS, PROMPT_TEMPLATE
from datasets_manager import DatasetOptions

ENVIRONMENT_PREFIX = "APIPROMPT_"
DATA, MODEL, MASK, OUTPUT, RUN = "Data", "Model", "Mask", "Output", "Run"

C = TypeVar("C", bound="RunConfig")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every command can be told. Fields with several values make every combination."""

    dataset: str = option(
        DATA,
        "demo",
        parsers.dataset,
        "NAME",
        "Dataset to mask; `apiprompt datasets` lists the names.",
    )
    range: tuple[int, int] | None = option(
        DATA,
        None,
        parsers.sample_range,
        "START STOP",
        "Samples START (counted from 0) to STOP (not included), cut at the dataset's end.",
        "whole set",
    )
    data_root: Path = option(
        DATA,
        Path("dataset"),
        parsers.path,
        "DIR",
        "Folder that holds the datasets' files; for imagefolder, the folder itself.",
    )
    source: str = option(
        DATA,
        "auto",
        parsers.one_of("auto", "disk", "hub"),
        "NAME",
        "Where the dataset is read from: disk, hub, or auto (the hub where the disk has none).",
    )
    hub_id: str | None = option(
        DATA,
        None,
        parsers.text,
        "OWNER/NAME",
        "The dataset's repository on the hub, or a folder that holds a copy of one.",
        "the usual one",
    )
    revision: str | None = option(
        DATA, None, parsers.text, "NAME", "Branch, tag or commit of that repository.", "main"
    )
    split: str | None = option(
        DATA,
        None,
        parsers.text,
        "NAME",
        "Part of the dataset: MMMU's dev or test, POPE's random, popular or adversarial, ...",
        "the usual one, for POPE all",
    )
    images: str = option(
        DATA,
        "all",
        parsers.one_of("all", "first"),
        "NAME",
        "Of a question about several images: mask all, or the first one alone.",
    )
    question: str | None = option(
        DATA,
        None,
        parsers.text,
        "TEXT",
        "Asked about every image of an imagefolder, of hf:... or of webdataset:...",
        "each image's own",
    )
    image_column: str | None = option(
        DATA, None, parsers.text, "NAME", "Column of the picture.", "imagefolder's is file_name"
    )
    question_column: str | None = option(
        DATA, None, parsers.text, "NAME", "Column of the question.", "question"
    )
    key_column: str | None = option(DATA, None, parsers.text, "NAME", "Column of the key.", "key")
    query_column: str | None = option(
        DATA,
        None,
        parsers.text,
        "NAME",
        "Column of what the auxiliary model is asked instead of the question.",
        "imagefolder's hint, else the question",
    )
    streaming: bool = option(
        DATA,
        False,
        parsers.switch,
        "",
        "Read the files of hf:... where they are instead of copying them to the disk.",
    )
    # these mean something else to each command
    model_name: str | None
    layer_index: tuple[int, ...] | None
    batch_size: int | str
    precision: str
    enhance_coe: tuple[float, ...] = option(
        MASK, (5,), parsers.several(parsers.number), "X,...", "Contrast of the mask."
    )
    kernel_size: tuple[int, ...] = option(
        MASK,
        (3,),
        parsers.several(parsers.odd_integer),
        "K,...",
        "Smoothness of the mask: odd width of the mean filter, in patches.",
    )
    interpolate_method_name: tuple[str, ...] = option(
        MASK,
        ("LANCZOS",),
        parsers.several(
            parsers.one_of("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")
        ),
        "NAME,...",
        "Pillow's filter for resizing the mask: NEAREST, BOX, BILINEAR, HAMMING, BICUBIC, LANCZOS.",
    )
    grayscale: tuple[int, ...] = option(
        MASK,
        (0,),
        parsers.several(parsers.integer(0, 255)),
        "0..255,...",
        "Grey level that irrelevant parts fade to: 0 black, 255 white.",
    )
    fit: str = option(
        MODEL,
        "paper",
        parsers.one_of("paper", "squash", "pad"),
        "NAME",
        "How a rectangle meets the model's square: paper (as published: clip crops the centre, "
        "llava pads, and masks of wide and tall images are displaced), squash or pad (both exact).",
    )
    device: str = option(MODEL, "auto", parsers.text, "NAME", "auto, cpu, cuda, cuda:1, mps, ...")
    output_folder: Path = option(
        OUTPUT, Path("experiments"), parsers.path, "DIR", "Folder in which run folders are made."
    )
    format: str = option(
        OUTPUT,
        "jpg",
        parsers.one_of("jpg", "png", "webp"),
        "NAME",
        "Of the pictures: jpg, png or webp.",
    )
    quality: int = option(OUTPUT, 95, parsers.integer(1, 100), "1..100", "Of jpg and webp.")
    overwrite: bool = option(
        OUTPUT, False, parsers.switch, "", "Delete what the run folders hold and start afresh."
    )
    map_store: bool = option(
        OUTPUT,
        True,
        parsers.switch,
        "",
        "Keep relevance maps beside the run folders, so that runs with other mask parameters need "
        "no model.",
    )
    save_maps: bool = option(
        OUTPUT,
        False,
        parsers.switch,
        "",
        "Write each relevance map beside the masked image, as .npy and as a heat-map picture.",
    )
    shard: tuple[int, int] = option(
        RUN,
        (0, 1),
        parsers.shard,
        "I/N",
        "Do every N-th sample from the I-th on, for job arrays.",
        "0/1",
    )
    num_workers: int | str = option(
        RUN, "auto", parsers.auto_or(parsers.integer(1)), "N", "Threads that read, blend and write."
    )
    dry_run: bool = option(
        RUN, False, parsers.switch, "", "Say what would be done, and do nothing."
    )
    quiet: bool = option(RUN, False, parsers.switch, "", "Errors only.")

    @classmethod
    def resolve(
        cls: type[C],
        flags: Mapping[str, Any],
        environment: Mapping[str, str],
        config_file: str | None = None,
    ) -> C:
        """Put a configuration together.

        Args:
            flags: field name to value, as given on the command line; None is not given.
            environment: variables; those named APIPROMPT_<FIELD> count.
            config_file: YAML file, or name of a shipped configuration.

        Raises:
            UsageError: for an unknown key or a bad value, naming it and where it stands.
        """
        options = cls.options()
        values: dict[str, Any] = {}
        if config_file is not None:
            path = find_config(config_file)
            values |= parse_all(options, read_yaml(path), lambda name: f"{path}: {name}")
        variables = {
            name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(ENVIRONMENT_PREFIX) and value
        }
        values |= parse_all(options, variables, lambda name: ENVIRONMENT_PREFIX + name.upper())
        values |= parse_all(options, flags, lambda name: f"--{name.replace('_', '-')}")
        return cls(**values)

    @property
    def dataset_options(self) -> DatasetOptions:
        """Those of the fields that say how the dataset is to be opened."""
        return DatasetOptions(**{f.name: getattr(self, f.name) for f in fields(DatasetOptions)})

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Fields of this configuration as flags, in order."""
        return {f.name: f.metadata["option"] for f in fields(cls)}

    def to_yaml(self) -> str:
        """YAML that `--config` reads back to the same configuration."""
        return str(
            yaml.safe_dump(
                self.to_dict(), sort_keys=False, default_flow_style=None, allow_unicode=True
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Field names to values of YAML's own types."""
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        return values | {"shard": "/".join(map(str, self.shard))}


_layers = parsers.several(parsers.any_integer)
_batch_size = parsers.auto_or(parsers.integer(1))


@dataclass(frozen=True, kw_only=True)
class ClipConfig(RunConfig):
    """Configuration of `apiprompt clip`."""

    model_name: str | None = option(
        MODEL,
        None,
        parsers.text,
        "NAME",
        "open_clip architecture, hf-hub:OWNER/NAME, folder with open_clip_config.json, or demo.",
        "demo on the demo set, else ViT-L-14-336",
    )
    layer_index: tuple[int, ...] = option(
        MODEL,
        (-2,),
        _layers,
        "L,...",
        "Block of the image tower that is read, from 0; negative counts from the end.",
    )
    batch_size: int | str = option(
        MODEL,
        8,
        _batch_size,
        "N",
        "Images a forward pass, or auto; halved where memory does not do.",
    )
    precision: str = option(
        MODEL,
        "fp32",
        parsers.one_of("fp32", "bf16", "fp16"),
        "NAME",
        "Of the model's forward pass: fp32, bf16 or fp16.",
    )
    pretrained: str | None = option(
        MODEL,
        None,
        parsers.text,
        "TAG|FILE",
        "Weights of an architecture: open_clip tag or file.",
        "openai",
    )

    @property
    def model(self) -> str:
        """The model's name, the default filled in."""
        if self.model_name is not None:
            return self.model_name
        return "demo" if self.dataset == "demo" else "ViT-L-14-336"


@dataclass(frozen=True, kw_only=True)
class LlavaConfig(RunConfig):
    """Configuration of `apiprompt llava`."""

    model_name: str | None = option(
        MODEL,
        None,
        parsers.text,
        "NAME",
        "7b or 13b (LLaVA-1.5), a hub id (OWNER/NAME), a folder in transformers' format, or demo.",
        "demo on the demo set, else 13b",
    )
    layer_index: tuple[int, ...] | None = option(
        MODEL,
        None,
        _layers,
        "L,...",
        "Layer of the language model that is read, from 0; negative counts from the end.",
        "20 for 7b and 13b, else a model's own best",
    )
    batch_size: int | str = option(
        MODEL,
        1,
        _batch_size,
        "N",
        "Questions that are answered together, or auto; halved where memory does not do.",
    )
    precision: str = option(
        MODEL,
        "auto",
        parsers.one_of("auto", "fp32", "bf16", "fp16"),
        "NAME",
        "Of weights and forward pass: fp32, bf16, fp16, or auto for that of the stored weights.",
    )
    load_in: str | None = option(
        MODEL,
        None,
        parsers.one_of("8bit", "4bit"),
        "8bit|4bit",
        "Quantise the weights with bitsandbytes (an extra: apiprompt\\[bitsandbytes]).",
        "",
    )
    max_new_tokens: int = option(
        MODEL,
        MAX_NEW_TOKENS,
        parsers.integer(1),
        "N",
        "Length of the model's answer at most; each of its tokens takes a look at the image.",
    )
    prompt_template: str = option(
        MODEL,
        PROMPT_TEMPLATE,
        parsers.prompt_template,
        "TEXT",
        "What the model is given, with <image> and {question} in it; \\n is a new line.",
        "Vicuna's, with its system sentence",
    )
    highlight: str | None = option(
        MODEL,
        None,
        parsers.text,
        "TEXT",
        "Count only the looks that produced this part of the answer; all where it is not in it.",
        "",
    )

    @property
    def model(self) -> str:
        """The model's name, the default filled in."""
        if self.model_name is not None:
            return self.model_name
        return "demo" if self.dataset == "demo" else "13b"
