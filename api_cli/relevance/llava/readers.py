"""Reads a language model's attention to the image while it generates, inside its own attention."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask

from api_cli.relevance import Read

SDPA = "apiprompt_sdpa"
EAGER = "apiprompt_eager"
"""For models that refuse every name with SDPA's in it, since their attention has a soft cap."""


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    scale: float,
    *,
    softcap: float | None = None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """The last position's attention, head by head: softmax over the keys given.

    Args:
        q: (B, H, d), the last position's queries, rotated.
        k: (B, K, N, d), keys, rotated; each of K heads serves H / K queries.
        scale: of the logits, 1 / sqrt(d).
        softcap: to which logits are bent by tanh, where the model does so.
        mask: broadcastable to (B, H, N): bool, False at keys that take no part, or what is added
            to the logits; None where all take part.

    Returns:
        (B, H, N) float32, each row of sum 1.
    """
    grouped = q.float().reshape(q.shape[0], k.shape[1], -1, q.shape[-1])  # (B, K, H / K, d)
    logits = torch.einsum("bkgd,bknd->bkgn", grouped, k.float()).flatten(1, 2) * scale
    if softcap is not None:
        logits = softcap * (logits / softcap).tanh()
    if mask is not None:
        mask = mask.to(logits.device)
        is_bool = mask.dtype == torch.bool
        logits = logits.masked_fill(~mask, -torch.inf) if is_bool else logits + mask.float()
    return logits.softmax(dim=-1)


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
        q: (B, H, d), as in `attention`.
        k: (B, K, N, d), the image tokens' keys.
        scale: of the logits.
        softcap: of the logits.
        is_token: (B, N) bool, False where a row has fewer image tokens; None for all.

    Returns:
        (B, N) float32, each row of sum 1.
    """
    mask = None if is_token is None else is_token[:, None]
    return attention(q, k, scale, softcap=softcap, mask=mask).mean(dim=1)


class Reader:
    """Reads one layer's attention to the image in every pass of a generation.

    Args:
        reads: of this layer.
        places: (B, N), positions of each row's image tokens.
        is_token: (B, N) bool, False where a row has fewer; None for all.
    """

    def __init__(
        self, reads: Iterable[Read], places: torch.Tensor, is_token: torch.Tensor | None
    ) -> None:
        self._places = places
        self._is_token = is_token
        self._keys: torch.Tensor | None = None  # (B, K, N, d); they stay as the first pass has them
        self._length = 0  # of the sequence so far; a window's cache holds less of it
        self._maps: dict[_Look, list[torch.Tensor]] = {_Look.of(read): [] for read in reads}

    def maps(self, read: Read) -> torch.Tensor:
        """(S, B, N) float32 on the CPU, of S passes."""
        return torch.stack(self._maps[_Look.of(read)]).cpu()

    def read(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        mask: torch.Tensor | None,
        scale: float,
        softcap: float | None,
    ) -> None:
        """Note a pass.

        Args:
            query: (B, H, T, d).
            key: (B, K, T', d), all keys so far that the layer still has.
            mask: (B, 1 or H, T, T' or more) of the layer, as `attention` has it; None where the
                last position sees all.
            scale: of the logits.
            softcap: of the logits.
        """
        places = self._places.to(key.device)
        if self._keys is None:
            index = places[:, None, :, None].expand(-1, key.shape[1], -1, key.shape[3])
            self._keys = key.gather(2, index)
            self._length = key.shape[2]
        else:
            self._length += query.shape[2]
        last = query[:, :, -1]
        for softmax in {look.softmax for look in self._maps}:
            if softmax == "image":
                is_token = None if self._is_token is None else self._is_token[:, None]
                weights = attention(last, self._keys, scale, softcap=softcap, mask=is_token)
            else:
                seen = None if mask is None else mask[:, :, -1, : key.shape[2]]
                of_all = attention(last, key, scale, softcap=softcap, mask=seen)
                weights = _at(of_all, places - (self._length - key.shape[2]))
            for look, maps in self._maps.items():
                if look.softmax == softmax:
                    head = look.head
                    maps.append(weights.mean(dim=1) if head is None else weights[:, head].clone())


class _Look(NamedTuple):
    """What of a `Read` a layer is asked for; the rest is made of its passes."""

    softmax: str
    head: int | None

    @classmethod
    def of(cls, read: Read) -> _Look:
        return cls(read.softmax, read.head)


def _at(weights: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Weights (B, H, T) at places (B, N); 0 at those that a window has left behind."""
    index = places.clamp(min=0)[:, None].expand(-1, weights.shape[1], -1)
    return weights.gather(2, index) * (places >= 0)[:, None]


class Readers:
    """Readers of the layers that some reads are about; see `Reader`."""

    def __init__(
        self, reads: Sequence[Read], places: torch.Tensor, is_token: torch.Tensor | None
    ) -> None:
        self._reads = reads
        self.of_layers = {
            layer: Reader([read for read in reads if read.layer == layer], places, is_token)
            for layer in {read.layer for read in reads}
        }

    @property
    def maps(self) -> torch.Tensor:
        """(S, B, R, N) float32 on the CPU, of S passes and R reads."""
        return torch.stack([self.of_layers[read.layer].maps(read) for read in self._reads], dim=2)


@contextmanager
def reading(
    blocks: Any,
    reads: Sequence[Read],
    places: torch.Tensor,
    is_token: torch.Tensor | None = None,
) -> Iterator[Readers]:
    """Read decoder layers during the generation within.

    Args:
        blocks: the decoder's layers.
        reads: what is read of which.
        places: (B, N), positions of each row's image tokens.
        is_token: (B, N) bool, False where a row has fewer; None for all.
    """
    readers = Readers(reads, places, is_token)
    for layer, reader in readers.of_layers.items():
        blocks[layer].self_attn.relevance_reader = reader
    try:
        yield readers
    finally:
        for layer in readers.of_layers:
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
    _read(module, query, key, attention_mask, options)
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
    _read(module, query, key, attention_mask, options)
    own = sys.modules[type(module).__module__].eager_attention_forward
    output: tuple[torch.Tensor, Any] = own(module, query, key, value, attention_mask, **options)
    return output


def _read(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    options: Mapping[str, Any],
) -> None:
    reader: Reader | None = getattr(module, "relevance_reader", None)
    if reader is not None:
        reader.read(query, key, mask, options["scaling"], options.get("softcap"))


for _name, _attention, _mask in (
    (SDPA, _sdpa_and_read, sdpa_mask),
    (EAGER, _eager_and_read, eager_mask),
):
    AttentionInterface.register(_name, _attention)
    AttentionMaskInterface.register(_name, _mask)  # else padding would be ignored in silence
