"""What every model here does with its answers: greedy, in passes, some of which may count alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from transformers import GenerationConfig

from api_cli.relevance import Read

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
        self._end = torch.tensor(end if isinstance(end, list) else [end])

    def _require_room(self, longest: int) -> None:
        """Raises ValueError where a prompt and its answer do not fit into the context."""
        if longest + self._max_new_tokens > self._max_length:
            raise ValueError(
                f"question and answer take up to {longest + self._max_new_tokens} tokens, the "
                f"model at most {self._max_length}"
            )

    @property
    def number_of_heads(self) -> int:
        """Heads of each of the language model's layers; a `Read` may be of one of them."""
        return int(self.model.config.get_text_config(decoder=True).num_attention_heads)

    def _generate(
        self, ids: torch.Tensor, mask: torch.Tensor, answered: bool, looked_at: Mapping[str, Any]
    ) -> torch.Tensor:
        """The tokens of answers, (B, S), on the CPU.

        Args:
            ids: (B, T), prompts of one length.
            mask: (B, T), 0 at padding.
            answered: whether more than the prompt's own pass is wanted.
            looked_at: what else the model is given.
        """
        device = self.model.device
        sequences = self.model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            **({} if answered else {"max_new_tokens": 1}),
            **looked_at,
        )
        answers: torch.Tensor = sequences[:, ids.shape[1] :].cpu()
        return answers

    def _answer(
        self, maps: torch.Tensor, tokens: torch.Tensor | None, reads: Sequence[Read]
    ) -> tuple[torch.Tensor, _FACTS]:
        """One sample's maps, averaged over the passes that produced its answer, and the answer.

        Args:
            maps: (S, R, N), of every pass of the batch.
            tokens: (S,), of every pass of the batch; after its end token a sample adds none. None
                where only the prompt's pass was wanted.
            reads: which R there are, with the passes' weights.

        Returns:
            (R, N), and facts.
        """
        if tokens is None:
            return maps[0], {}
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
        weights = torch.stack([pass_weights(read.tokens, counted) for read in reads])  # (R, S)
        return torch.einsum("rs,srn->rn", weights, maps[: len(tokens)]), facts

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


def pass_weights(tokens: str, counted: torch.Tensor) -> torch.Tensor:
    """What each pass weighs in a map, (S,) float32 of sum 1.

    Args:
        tokens: as in `Read`.
        counted: (S,) bool, the passes that count; the first one's weight does not heed it.
    """
    number = torch.arange(1, len(counted) + 1, dtype=torch.float32)
    if tokens == "even":
        weights = counted.float()
    elif tokens == "linear":
        weights = counted * number
    else:
        weights = (number == 1).float()
    return weights / weights.sum()


def in_turn(number: int, unanswered: Collection[int]) -> list[list[int]]:
    """Rows that go through the model together: those without an answer first, if there are any."""
    rows = range(number)
    turns = ([r for r in rows if r in unanswered], [r for r in rows if r not in unanswered])
    return [turn for turn in turns if turn]
