"""What questions about one picture have in common: their prompts up to the image's last token.

The language model reads that part once a picture; its keys and values are handed to every question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

Layer = tuple[torch.Tensor, ...]  # keys and values, (rows, K, T, d) each
_ALL = slice(None)


class Prefix(NamedTuple):
    """What the language model has made of a prompt's beginning and one picture.

    Attributes:
        ids: E token ids, the last one the image's last.
        pixels: of the picture.
        layers: keys and values of every layer, (1, K, E, d) each.
        deltas: (1, 1), by how much positions after it are off the number of tokens, where the
            model places an image's tokens in rows and columns.
    """

    ids: list[int]
    pixels: torch.Tensor
    layers: list[Layer]
    deltas: torch.Tensor | None = None


class Padded(NamedTuple):
    """Prompts of one length: their common beginning, padding, and what differs.

    Attributes:
        ids: (B, T) int64.
        mask: (B, T) int64, 0 at padding.
    """

    ids: torch.Tensor
    mask: torch.Tensor


def common_prefix(prompts: Sequence[list[int]], image_token: int) -> list[int]:
    """The prompts' tokens up to the image's last, where all begin so and go on; else none."""
    first = prompts[0]
    end = len(first) - first[::-1].index(image_token)
    prefix = first[:end]
    is_common = all(len(prompt) > end and prompt[:end] == prefix for prompt in prompts)
    return prefix if is_common else []


def pad(prompts: Sequence[list[int]], after: int, pad_token: int) -> Padded:
    """Pad whole prompts after so many of their tokens; 0 pads on the left."""
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad_token)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        start = longest - len(prompt) + after
        for places, tokens in (
            (slice(after), prompt[:after]),
            (slice(start, None), prompt[after:]),
        ):
            ids[row, places] = torch.tensor(tokens, dtype=ids.dtype)
            mask[row, places] = 1
    return Padded(ids, mask)


def is_shareable(text_config: Any) -> bool:
    """Whether a language model's cache holds every token, each for itself.

    Not so where layers see a window, which padding would fill, or keep a state.
    """
    kinds = getattr(text_config, "layer_types", None) or ()
    windowed = getattr(text_config, "sliding_window", None) is not None
    return all(kind == "full_attention" for kind in kinds) if kinds else not windowed


def fill_cache(text_config: Any, layers: Iterable[Layer]) -> DynamicCache:
    """A cache that holds these keys and values, or none yet."""
    cache = DynamicCache(config=text_config)
    for index, (keys, values) in enumerate(layers):
        cache.update(keys, values, index)
    return cache


def layers_of(cache: DynamicCache, row: int | None = None, places: slice = _ALL) -> list[Layer]:
    """Keys and values that a cache holds; of one row, (1, K, E, d), and at some places alone.

    Those of a row among others are copied, so that the others' memory can be given back.
    """
    layers: Any = cache.layers
    if row is None:
        return [(layer.keys, layer.values) for layer in layers]
    return [
        tuple(
            tensor[row, None, :, places].clone() if len(tensor) > 1 else tensor[:, :, places]
            for tensor in (layer.keys, layer.values)
        )
        for layer in layers
    ]


def hand_out(parts: Sequence[Sequence[Layer]], owner: Sequence[int]) -> Iterator[Layer]:
    """Keys and values of pictures, part after part, brought to the questions about them.

    Args:
        parts: layers of some pictures each.
        owner: for each question its picture, counted over all parts.
    """
    index = torch.tensor(owner)
    for layers in zip(*parts, strict=True):
        keys, values = (torch.cat(tensors) for tensors in zip(*layers, strict=True))
        yield keys[index.to(keys.device)], values[index.to(values.device)]
