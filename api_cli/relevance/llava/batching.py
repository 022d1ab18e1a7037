"""Prompts and pictures of several sizes as one batch, filled up where they are short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional as F

from api_cli.relevance.llava.blocks import Block


def collate(blocks: Sequence[Block], counted: str | None) -> dict[str, torch.Tensor]:
    """Pictures' tensors as one batch: filled up with zeros at the end, one after the other.

    Args:
        blocks: of the pictures.
        counted: the tensor, if any, that counts patches through all of them.
    """
    batch = {}
    for name in blocks[0].tensors:
        tensors = [block.tensors[name] for block in blocks]
        if name == counted:
            before = 0
            for number, block in enumerate(blocks):
                tensors[number] = torch.where(tensors[number] >= 0, tensors[number] + before, -1)
                before += block.tensors["pixel_values"].shape[:2].numel()
        largest = [max(sizes) for sizes in zip(*(t.shape[1:] for t in tensors), strict=True)]
        filled = [_filled(tensor, largest) for tensor in tensors]
        batch[name] = torch.cat(filled) if len(filled) > 1 else filled[0]  # without a copy
    return batch


def _filled(tensor: torch.Tensor, sizes: Sequence[int]) -> torch.Tensor:
    """A tensor with zeros at the end of every dimension but the first."""
    missing = [
        part
        for have, want in zip(tensor.shape[:0:-1], reversed(sizes), strict=True)
        for part in (0, want - have)
    ]
    return F.pad(tensor, missing) if any(missing) else tensor


def filled_before(part: torch.Tensor, width: int) -> torch.Tensor:
    """Keys or values (1, K, E, d) as the last of (1, K, width, d); what comes before is masked."""
    return F.pad(part, (0, 0, width - part.shape[2], 0))


def kinds_of(
    prompts: Sequence[list[int]], starts: Sequence[int], blocks: Sequence[Block]
) -> dict[str, list[torch.Tensor]]:
    """What processors say of each token, by name, a row a prompt."""
    kinds: dict[str, list[torch.Tensor]] = {}
    for name in blocks[0].kinds:
        rows = [torch.zeros(len(prompt), dtype=torch.int64) for prompt in prompts]
        for row, start, block in zip(rows, starts, blocks, strict=True):
            row[start : start + len(block.ids)] = torch.tensor(block.kinds[name])
        kinds[name] = rows
    return kinds


def left(rows: Sequence[torch.Tensor], width: int, value: int = 0) -> torch.Tensor:
    """Rows of one length, filled up on the left."""
    return torch.stack([F.pad(row, (width - len(row), 0), value=value) for row in rows])


def pad_twice(
    prompts: Sequence[list[int]],
    ends: Sequence[int],
    kinds: Mapping[str, Sequence[torch.Tensor]],
    pad_token: int,
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor], list[int]]:
    """Prompts filled up before their beginnings and after them, so that both end together.

    Args:
        prompts: B prompts.
        ends: where the beginning of each ends.
        kinds: of their tokens.
        pad_token: fills up.

    Returns:
        ids and mask (B, T), the kinds likewise, and how far each beginning has moved.
    """
    first, second = max(ends), max(len(p) - e for p, e in zip(prompts, ends, strict=True))

    def twice(rows: Sequence[torch.Tensor], value: int = 0) -> torch.Tensor:
        parts = [(row[:end], row[end:]) for row, end in zip(rows, ends, strict=True)]
        heads, tails = zip(*parts, strict=True)
        return torch.cat([left(heads, first, value), left(tails, second, value)], dim=1)

    rows = [torch.tensor(prompt) for prompt in prompts]
    return (
        twice(rows, pad_token),
        twice([torch.ones_like(row) for row in rows]),
        {name: twice(of_rows) for name, of_rows in kinds.items()},
        [first - end for end in ends],
    )


def places_of(
    blocks: Sequence[Block], starts: Sequence[int], lefts: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Where in the batch the views' tokens are, (B, N), and which of these there are."""
    rows = [
        torch.tensor(block.places) + start + left
        for block, start, left in zip(blocks, starts, lefts, strict=True)
    ]
    most = max(map(len, rows))
    places = torch.stack([F.pad(row, (0, most - len(row))) for row in rows])
    is_token = torch.arange(most) < torch.tensor([len(row) for row in rows])[:, None]
    return places, None if is_token.all() else is_token
