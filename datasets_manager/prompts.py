"""What the sets' usual evaluations append to a question; `question + prompt` is then asked.

LLaVA-1.5's evaluation (https://github.com/haotian-liu/LLaVA/blob/main/docs/Evaluation.md), and for
MMMU the benchmark's own (https://github.com/MMMU-Benchmark/MMMU, eval/configs/llava1.5.yaml).
"""

from __future__ import annotations

import string
from collections.abc import Sequence

SHORT_ANSWER = "\nAnswer the question using a single word or phrase."
SHORT_OR_UNANSWERABLE = (
    "\nWhen the provided information is insufficient, respond with 'Unanswerable'." + SHORT_ANSWER
)
YES_OR_NO = " Please answer yes or no."


def multiple_choice(options: Sequence[str]) -> str:
    """Lettered options, or for a question without options the wish for a short answer."""
    if not options:
        return "\n" + SHORT_ANSWER
    lettered = "".join(
        f"({letter}) {option}\n"
        for letter, option in zip(string.ascii_uppercase, options, strict=False)
    )
    return f"\n\n{lettered}\n\nAnswer with the option's letter from the given choices directly."
