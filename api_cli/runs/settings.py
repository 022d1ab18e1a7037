"""Settings of a run: every combination of the values asked for, with the folder of each.

`FIELDS` is the table of what can be swept, a row a field of `RunConfig`. A new one is a row here,
and an older run folder that says nothing of it holds pictures of its default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.masking import Keep, MaskSettings
from api_cli.options.prompt import GENERAL_QUESTION
from api_cli.options.run import RunConfig
from api_cli.relevance import Read
from api_cli.runs.names import digest_text

Value = float | str


class Field(NamedTuple):
    """A field that can be swept.

    Attributes:
        name: of the configuration's field.
        word: a value to its word in a folder's name, where that says it.
        mask: a value to that of `MaskSettings`; None where it is not the mask's.
    """

    name: str
    word: Callable[[Any], str] = str
    mask: Callable[[Any], Any] | None = lambda value: value


def _none_or(value: Value) -> Value | None:
    return None if value == "none" else value


def _spread(value: str) -> float | None:
    return None if value == "mean" else float(value.removeprefix("gaussian:"))


def _keep(value: str) -> Keep | None:
    if value == "none":
        return None
    share, _, regions = value.partition(":")
    return Keep(float(share), int(regions) if regions else None)


def _named(name: str) -> Callable[[Any], str]:
    return lambda value: f"{name}-{value}".replace(":", "-")


# in every name, METHOD.md section 6
_ALWAYS = (
    Field("enhance_coe", mask=_none_or),
    Field("kernel_size"),
    Field("interpolate_method_name"),
    Field("grayscale"),
)
# where they are not as by default, in this order; `smooth` stands in the kernel's place
_SMOOTH = Field("smooth", lambda value: value.replace(":", "-"), _spread)
_WHERE_OTHER = (
    Field("softmax", _named("softmax"), mask=None),
    Field("token_weights", _named("tokens"), mask=None),
    Field("relative"),
    Field("denoise", _named("denoise"), _none_or),
    Field("floor", _named("floor")),
    Field("keep", _named("keep"), _keep),
    Field("render"),
)
FIELDS = (*_ALWAYS, _SMOOTH, *_WHERE_OTHER)
SWEPT = [field.name for field in FIELDS]
_DEFAULTS: Mapping[str, Any] = {field.name: field.default for field in fields(RunConfig)}
_USUAL: Mapping[str, Value] = {name: _DEFAULTS[name][0] for name in SWEPT}
LATER: Mapping[str, Any] = {field.name: _USUAL[field.name] for field in (_SMOOTH, *_WHERE_OTHER)}
"""What settings mean that records of older run folders lack."""


class Setting(NamedTuple):
    """One combination of the values asked for.

    Attributes:
        reads: what the model is asked for; the mask's map is their mean.
        mask: what is made of it.
        path: of its run folder.
        values: of the configuration's fields, as `run.yaml` says them.
    """

    reads: tuple[Read, ...]
    mask: MaskSettings
    path: Path
    values: Mapping[str, Value]


def list_settings(config: RunConfig, name: str, layers: Sequence[tuple[int, ...]]) -> list[Setting]:
    """Every combination of the values asked for, with folders as in METHOD.md section 6.

    What that section does not have is named behind the mask's parameters.

    Args:
        config: of the run.
        name: first part of the run folders' names: method, dataset and model.
        layers: resolved; those of a group are averaged.
    """
    found: dict[Path, Setting] = {}
    for group, *values in product(layers, *(getattr(config, field.name) for field in FIELDS)):
        setting = _setting(config, name, group, dict(zip(SWEPT, values, strict=True)))
        found.setdefault(setting.path, setting)  # a Gaussian has no kernel size
    return list(found.values())


def _setting(
    config: RunConfig, name: str, layers: tuple[int, ...], values: dict[str, Value]
) -> Setting:
    layer = "+".join(map(str, layers))
    if values["smooth"] != _USUAL["smooth"]:
        values["kernel_size"] = _USUAL["kernel_size"]
    words = {field.name: field.word(values[field.name]) for field in FIELDS}
    if values["smooth"] != _USUAL["smooth"]:
        words["kernel_size"] = words["smooth"]
    general = {}
    if values["relative"] != "none":
        general["relative_to"] = config.relative_to
        if config.relative_to != GENERAL_QUESTION:
            words["relative"] += f"-{digest_text(config.relative_to)[:8]}"
    said = [words[field.name] for field in _ALWAYS]
    said += [
        words[field.name] for field in _WHERE_OTHER if values[field.name] != _USUAL[field.name]
    ]
    if config.shuffle_masks is not None:
        said.append(f"shuffled-{config.shuffle_masks}")
    return Setting(
        reads_of(layers, values),
        mask_settings(values),
        config.output_folder / f"{name}_{layer}" / "_".join(said),
        {"layer_index": layers[0] if len(layers) == 1 else layer, **values, **general},
    )


def reads_of(layers: Sequence[int], values: Mapping[str, Any]) -> tuple[Read, ...]:
    """What a model is asked for, by layers and values of `RunConfig`'s fields."""
    return tuple(Read(layer, values["softmax"], values["token_weights"]) for layer in layers)


def mask_settings(values: Mapping[str, Any]) -> MaskSettings:
    """What shapes a mask, of values of `RunConfig`'s fields."""
    return MaskSettings(
        **{field.name: field.mask(values[field.name]) for field in FIELDS if field.mask}
    )
