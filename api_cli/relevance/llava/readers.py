"""Reads a language model's attention to the image while it generates, inside its own attention."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

SDPA = "apiprompt_sdpa"
EAGER = "apiprompt_eager"
"""For models that refuse every name with SDPA's in it, since their attention has a soft cap."""


def attention_map(
    q: torch.Tensor,
    k: torch.Tensor,
    scale: float,
    *,
    softcap: float | None = None,
    is_token: torch.Tensor | None = None,
) -> torch.Tensor:
    """One pass's term of A in METHOD.md section 2: softmax over image tokens alone, mean of heads.

    Args:
        q: (B, H, d), the last position's queries, rotated.
        k: (B, K, N, d), the image tokens' keys, rotated; each of K heads serves H / K queries.
        scale: of the logits, 1 / sqrt(d).
        softcap: to which logits are bent by tanh, where the model does so.
        is_token: (B, N) bool, False where a row has fewer image tokens; None for all.

    Returns:
        (B, N) float32, each row of sum 1.
    """
    q = q.float().reshape(q.shape[0], k.shape[1], -1, q.shape[-1])  # (B, K, H / K, d)
    logits = torch.einsum("bkgd,bknd->bkgn", q, k.float()) * scale
    if softcap is not None:
        logits = softcap * (logits / softcap).tanh()
    if is_token is not None:
        logits = logits.masked_fill(~is_token.to(logits.device)[:, None, None], -torch.inf)
    return logits.softmax(dim=-1).mean(dim=(1, 2))


class Reader:
    """Reads one layer's attention to the image in every pass of a generation.

    Args:
        places: (B, N), positions of each row's image tokens.
        is_token: (B, N) bool, False where a row has fewer; None for all.
    """

    def __init__(self, places: torch.Tensor, is_token: torch.Tensor | None) -> None:
        self._places = places
        self._is_token = is_token
        self._keys: torch.Tensor | None = None  # (B, K, N, d); they stay as the first pass has them
        self._maps: list[torch.Tensor] = []

    @property
    def maps(self) -> torch.Tensor:
        """(S, B, N) float32 on the CPU, of S passes."""
        return torch.stack(self._maps).cpu()

    def read(
        self, query: torch.Tensor, key: torch.Tensor, scale: float, softcap: float | None
    ) -> None:
        """Note a pass: queries (B, H, T, d) and all keys so far (B, K, T', d)."""
        if self._keys is None:
            places = self._places.to(key.device)[:, None, :, None]
            self._keys = key.gather(2, places.expand(-1, key.shape[1], -1, key.shape[3]))
        self._maps.append(
            attention_map(
                query[:, :, -1], self._keys, scale, softcap=softcap, is_token=self._is_token
            )
        )


@contextmanager
def reading(
    blocks: Any,
    layers: Sequence[int],
    places: torch.Tensor,
    is_token: torch.Tensor | None = None,
) -> Iterator[Mapping[int, Reader]]:
    """Read the given decoder layers during the generation within."""
    readers = {layer: Reader(places, is_token) for layer in set(layers)}
    for layer, reader in readers.items():
        blocks[layer].self_attn.relevance_reader = reader
    try:
        yield readers
    finally:
        for layer in readers:
            del blocks[layer].self_attn.relevance_reader


def _sdpa_and_read(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' SDPA attention, which stays as it is, with a look at queries and keys."""
    _read(module, query, key, options)
    output: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, **options
    )
    return output


def _eager_and_read(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, Any]:
    """The model file's own attention, likewise."""
    _read(module, query, key, options)
    own = sys.modules[type(module).__module__].eager_attention_forward
    output: tuple[torch.Tensor, Any] = own(module, query, key, value, attention_mask, **options)
    return output


def _read(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, options: Mapping[str, Any]
) -> None:
    reader = getattr(module, "relevance_reader", None)
    if reader is not None:
        reader.read(query, key, options["scaling"], options.get("softcap"))


for _name, _attention, _mask in (
    (SDPA, _sdpa_and_read, sdpa_mask),
    (EAGER, _eager_and_read, eager_mask),
):
    AttentionInterface.register(_name, _attention)
    AttentionMaskInterface.register(_name, _mask)  # else padding would be ignored in silence
