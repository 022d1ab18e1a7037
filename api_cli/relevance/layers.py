"""Which layers are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from api_cli.errors import UsageError


class Layered(Protocol):
    """What has layers that can be read: a checkpoint, or what is remembered of one."""

    @property
    def number_of_layers(self) -> int:
        """Layers that can be read, counted from 0."""
        ...

    @property
    def default_layer(self) -> int:
        """The layer read where nobody says otherwise; negative counts from the end."""
        ...


def readable_layers(model: Layered) -> Sequence[int]:
    """The layers whose maps can be had: the model's `readable_layers`, else all, from 0."""
    readable: Sequence[int] = getattr(model, "readable_layers", range(model.number_of_layers))
    return readable


def resolve_layers(layer_index: Sequence[int] | None, model: Layered) -> list[int]:
    """Layers counted from 0, each once; the model's default one for None.

    Raises UsageError for one that the model does not have, or whose maps cannot be had.
    """
    number_of_layers = model.number_of_layers
    layer_index = (model.default_layer,) if layer_index is None else layer_index
    for index in layer_index:
        if not -number_of_layers <= index < number_of_layers:
            raise UsageError(
                f"--layer-index {index}: the model has layers 0 to {number_of_layers - 1} "
                f"(or -{number_of_layers} to -1, from the end)"
            )
    layers = list(dict.fromkeys(index % number_of_layers for index in layer_index))
    readable = readable_layers(model)
    for layer in layers:
        if layer not in readable:
            raise UsageError(
                f"--layer-index {layer}: that layer does not see the whole prompt; those that can "
                f"be read are {', '.join(map(str, readable))}"
            )
    return layers
