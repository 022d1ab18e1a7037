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


def resolve_layers(
    layer_index: Sequence[int | str] | None, model: Layered
) -> list[tuple[int, ...]]:
    """Layers counted from 0, each once; several where the mean of their maps is asked for.

    Args:
        layer_index: as in `--layer-index`: 14 is a layer, "14+15" the mean of two; None for the
            model's default one.
        model: whose layers they are.

    Raises:
        UsageError: for one that the model does not have, or, where it has `readable_layers`, one
            that is not among them.
    """
    asked = (model.default_layer,) if layer_index is None else layer_index
    groups = [
        tuple(sorted({_resolve(int(layer), model) for layer in str(group).split("+")}))
        for group in asked
    ]
    return list(dict.fromkeys(groups))


def _resolve(index: int, model: Layered) -> int:
    number_of_layers = model.number_of_layers
    if not -number_of_layers <= index < number_of_layers:
        raise UsageError(
            f"--layer-index {index}: the model has layers 0 to {number_of_layers - 1} "
            f"(or -{number_of_layers} to -1, from the end)"
        )
    layer = index % number_of_layers
    readable = getattr(model, "readable_layers", range(number_of_layers))
    if layer not in readable:
        raise UsageError(
            f"--layer-index {layer}: that layer does not see the whole prompt; those that can "
            f"be read are {', '.join(map(str, readable))}"
        )
    return layer
