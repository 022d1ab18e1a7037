"""What a judge is: a prompt about a question and two answers, and how its judgement is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from api_cli.asking.exchange import Sampling
from api_cli.scoring.metrics import Figures, Row, Scored, Verdict


class Judge(NamedTuple):
    """A rule of scoring that a language model carries out.

    Attributes:
        about: which published variant it is, in a line; stands in each summary.
        system: text before the prompt; empty for none.
        prompt: from a sample's row and an answer to the judge's prompt.
        again: what follows the prompt where the first judgement could not be read.
        sampling: of the first try.
        temperatures: of further tries, for judgements that cannot be read.
        read: a judgement's verdict; None where there is none in it.
        figures, groups: as of `Metric`.
    """

    about: str
    system: str
    prompt: Callable[[Row, str], str]
    again: str
    sampling: Sampling
    temperatures: tuple[float, ...]
    read: Callable[[str], Verdict | None]
    figures: Callable[[Sequence[Scored]], Figures]
    groups: Callable[[Row], Iterable[str]]

    @property
    def settings(self) -> dict[str, Any]:
        """What shapes judgements but the model and the very prompts."""
        return {
            "system": self.system,
            "max_tokens": self.sampling.max_tokens,
            "temperature": self.sampling.temperature,
            "temperatures_again": list(self.temperatures),
        }
