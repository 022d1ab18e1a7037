"""What the sets' usual evaluations append to a question; `question + prompt` is then asked.

LLaVA-1.5's evaluation (https://github.com/haotian-liu/LLaVA/blob/main/docs/Evaluation.md), for
MMMU the benchmark's own (https://github.com/MMMU-Benchmark/MMMU, eval/configs/llava1.5.yaml), and
for V*, HR-Bench and MME-RealWorld what lmms-eval's tasks ask.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

SHORT_ANSWER = "\nAnswer the question using a single word or phrase."
SHORT_OR_UNANSWERABLE = (
    "\nWhen the provided information is insufficient, respond with 'Unanswerable'." + SHORT_ANSWER
)
YES_OR_NO = " Please answer yes or no."
LETTER = "\nAnswer with the option's letter from the given choices directly."


def multiple_choice(options: Sequence[str]) -> str:
    """Lettered options, or for a question without options the wish for a short answer."""
    if not options:
        return "\n" + SHORT_ANSWER
    lettered = "".join(
        f"({letter}) {option}\n"
        for letter, option in zip(string.ascii_uppercase, options, strict=False)
    )
    return f"\n\n{lettered}\n\nAnswer with the option's letter from the given choices directly."


def hr_bench(row: Mapping[str, Any]) -> str:
    """HR-Bench: the options of columns A, B, C, ..., where there are such."""
    letters = [letter for letter in string.ascii_uppercase if row.get(letter) is not None]
    lines = "".join(f"\n{letter}. {row[letter]}" for letter in letters)
    return f"{lines}\nAnswer the option letter directly."


def mme_real_world(row: Mapping[str, Any]) -> str:
    """MME-RealWorld: options that bring their letters along."""
    options = "\n".join(map(str, row.get("multi-choice options") or ()))
    return (
        f" The choices are listed below:\n{options}\nSelect the best answer to the above "
        "multiple-choice question based on the image. Respond with only the letter (A, B, C, D, or "
        "E) of the correct option.\nThe best answer is: "
    )


def a_okvqa(row: Mapping[str, Any]) -> str:
    """A-OKVQA: its choices under letters."""
    choices = zip(string.ascii_uppercase, row.get("choices") or (), strict=False)
    return "".join(f"\n{letter}. {choice}" for letter, choice in choices) + LETTER
