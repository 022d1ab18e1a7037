"""What every model here does with its answers: greedy, in passes, some of which may count alone."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import torch
from transformers import GenerationConfig

_FACTS = dict[str, Any]


class Answering:
    """A loaded model that answers; see its subclasses.

    Args:
        model: of transformers; its generation configuration is replaced.
        tokenizer: its tokenizer, padding on the left.
        max_new_tokens: length of the answer at most, 1 or more.
        highlight: count only the passes that produced this part of the answer; where the answer
            does not have it, all.
    """

    def __init__(
        self, model: Any, tokenizer: Any, max_new_tokens: int, highlight: str | None
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._max_new_tokens = max_new_tokens
        self._highlight = highlight
        text_config = model.config.get_text_config(decoder=True)
        self._max_length: int = text_config.max_position_embeddings
        end = model.generation_config.eos_token_id
        if end is None:
            end = text_config.eos_token_id
        # a fresh one, since a model's own may ask for sampling or penalties
        model.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=end,
            pad_token_id=tokenizer.pad_token_id,
        )
        ends = end if isinstance(end, list) else [end] if end is not None else []
        self._end = torch.tensor(ends, dtype=torch.int64)

    def _require_room(self, longest: int) -> None:
        """Raises ValueError where a prompt and its answer do not fit into the context."""
        if longest + self._max_new_tokens > self._max_length:
            raise ValueError(
                f"question and answer take up to {longest + self._max_new_tokens} tokens, the "
                f"model at most {self._max_length}"
            )

    def _answer(self, maps: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, _FACTS]:
        """One sample's maps, averaged over the passes that produced its answer, and the answer.

        Args:
            maps: (S, L, N), of every pass of the batch.
            tokens: (S,), of every pass of the batch; after its end token a sample adds none.

        Returns:
            (L, N), and facts.
        """
        ends = torch.isin(tokens, self._end).nonzero()
        tokens = tokens[: ends[0, 0] + 1] if len(ends) else tokens
        counted = torch.ones(len(tokens), dtype=torch.bool)
        facts: _FACTS = {
            "auxiliary_answer": self._decode(tokens).strip(),
            "auxiliary_tokens": len(tokens),
        }
        if self._highlight:
            produced = self._passes_of(self._highlight, tokens)
            facts["highlighted"] = bool(produced.any())
            counted = produced if produced.any() else counted
        return maps[: len(tokens)][counted].mean(dim=0), facts

    def _passes_of(self, text: str, tokens: torch.Tensor) -> torch.Tensor:
        """Which passes, (S,) bool, produced the first `text`, whatever its case, in the answer."""
        found = re.search(re.escape(text), self._decode(tokens), re.IGNORECASE)
        if found is None:
            return torch.zeros(len(tokens), dtype=torch.bool)
        start, end = found.span()
        lengths = [len(self._decode(tokens[:n])) for n in range(len(tokens) + 1)]
        return torch.tensor([before < end and after > start for before, after in pairwise(lengths)])

    def _decode(self, tokens: torch.Tensor) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))
