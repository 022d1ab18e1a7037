"""What every model here does with its answers: greedy, in passes, some of which may count alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig, LlavaForConditionalGeneration

from api_cli.relevance import Read

# transformers 5.24 gave the argument a new name
_takes = inspect.signature(LlavaForConditionalGeneration.forward).parameters
CACHE = "cache" if "cache" in _takes else "past_key_values"
_FACTS = dict[str, Any]


class Answering:
    """A loaded model that answers; see its subclasses.

    Args:
        model: of transformers; its generation configuration is replaced.
        tokenizer: its tokenizer, padding on the left.
        max_new_tokens: length of the answer at most, 1 or more.
        highlight: count only the passes that produced this part of the answer; where the answer
            does not have it, all.

    Attributes:
        highlight: the same; the next answers heed what it is set to.
    """

    def __init__(
        self, model: Any, tokenizer: Any, max_new_tokens: int, highlight: str | None
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._max_new_tokens = max_new_tokens
        self.highlight = highlight
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

    @property
    def number_of_heads(self) -> int:
        """Heads of each of the language model's layers; a `Read` may be of one of them."""
        return int(self.model.config.get_text_config(decoder=True).num_attention_heads)

    def _generate(
        self, ids: torch.Tensor, mask: torch.Tensor, looked_at: Mapping[str, Any], answered: bool
    ) -> torch.Tensor | None:
        """The tokens of answers, (B, S), on the CPU; None where only the prompt is to be read.

        Args:
            ids: (B, T), prompts of one length.
            mask: (B, T), 0 at padding.
            looked_at: what else the model is given.
            answered: whether the prompt's pass alone does not do.
        """
        device = self.model.device
        ids, mask = ids.to(device), mask.to(device)
        cache: Any = looked_at.get(CACHE)
        base = self.model.model
        if not answered and looked_at.keys() == {CACHE} and not hasattr(base, "rope_deltas"):
            # not by `generate`, whose own work is that of several passes of a small model
            start = cache.get_seq_length()
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, start:]
            base(
                input_ids=ids[:, start:], attention_mask=mask, position_ids=positions,
                use_cache=True, **looked_at,
            )  # fmt: skip
            return None
        length = {} if answered else {"max_new_tokens": 1}
        sequences: torch.Tensor = self.model.generate(
            input_ids=ids, attention_mask=mask, **length, **looked_at
        )
        return sequences[:, ids.shape[1] :].cpu() if answered else None

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
        if self.highlight:
            produced = self._passes_of(self.highlight, tokens)
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


class Turn(NamedTuple):
    """Rows that go through the model together, and whether they are answered."""

    rows: list[int]
    answered: bool


def in_turn(number: int, unanswered: Collection[int]) -> list[Turn]:
    """All rows, those without an answer last, if there are any."""
    rows = range(number)
    turns = (
        Turn([row for row in rows if row not in unanswered], answered=True),
        Turn([row for row in rows if row in unanswered], answered=False),
    )
    return [turn for turn in turns if turn.rows]
