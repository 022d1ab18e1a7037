"""Multiple choice by letters: V*, HR-Bench, MME-RealWorld, A-OKVQA.

Their authors and the harnesses each read letters off answers in another way, some by a judge; this
is a strict rule of this program's own. What names no option, or more than one, is unparsed and
wrong, and never guessed.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping

from api_cli.runs.columns import unfold
from api_cli.scoring.metrics.text import normalise
from api_cli.scoring.metrics.verdict import Row, UnscorableError, Verdict

_LISTS = ("choices", "options", "multi-choice options")
_LABELLED = re.compile(r"\s*\(?([A-Z])[).:]\s*(.*)", re.DOTALL)
_UNKNOWN = 5  # options, where a row does not list them: A to E


def letter(row: Row, answer: str) -> Verdict:
    """1 where the answer names the right option, by its letter or by its words."""
    options = read_options(row)
    parsed = parse(answer, options)
    return Verdict(float(parsed == _right(row)), parsed, not parsed)


def parse(answer: str, options: Mapping[str, str]) -> str:
    """The letter of the option that an answer names, or nothing.

    The first of these that finds any counts: a letter alone; "answer is B" and the like; "(B)"
    anywhere; a letter before the rest, as in "B. the cat"; the very words of an option; an
    option's words within the answer. Where several options are found at that step, none is named.

    Args:
        answer: as the model gave it.
        options: letters to words; the words may be empty.
    """
    letters = "".join(options)
    text = answer.strip()
    words = {at: normalise(option) for at, option in options.items() if normalise(option)}
    said = normalise(answer)
    found = (
        re.findall(rf"\A\W*([{letters}])\W*\Z", text),
        re.findall(
            rf"(?i:\b(?:answer|option|choice)\b(?:\s+is)?)[\s:*(\"']*([{letters}])(?![\w'])"
            r"(?!\W*(?:or|and)\b)",
            text,
        ),
        re.findall(rf"\(([{letters}])\)", text),
        re.findall(rf"\A\W*([{letters}])(?:[).:,](?!\w)|\s*\n)", text),
        [at for at, option in words.items() if option == said],
        [at for at, option in words.items() if f" {option} " in f" {said} "],
    )
    named = next(filter(None, map(set, found)), set())
    return named.pop() if len(named) == 1 else ""


def read_options(row: Row) -> dict[str, str]:
    """Letters to words: of columns `A`, `B`, ..., or of a list, whose texts may be lettered."""
    lettered = {}
    for at in string.ascii_uppercase:
        if row.get(at) is None:
            break
        lettered[at] = str(row[at])
    if lettered:
        return lettered
    lists = (unfold(row.get(name)) for name in _LISTS)
    listed = next((one for one in lists if isinstance(one, list)), None)
    if not listed:
        return dict.fromkeys(string.ascii_uppercase[:_UNKNOWN], "")
    options = {}
    for at, text in zip(string.ascii_uppercase, map(str, listed), strict=False):
        labelled = _LABELLED.fullmatch(text)
        options[at] = labelled[2] if labelled and labelled[1] == at else text
    return options


def _right(row: Row) -> str:
    """The right letter, from `answer`, `label` or the number `correct_choice_idx`."""
    for name in ("answer", "label"):
        value = str(row.get(name) or "").strip().strip("().")
        if value in tuple(string.ascii_uppercase):
            return value
    number = row.get("correct_choice_idx")
    if isinstance(number, int) and 0 <= number < len(string.ascii_uppercase):
        return string.ascii_uppercase[number]
    raise UnscorableError("no letter in 'answer' or 'label', and no 'correct_choice_idx'")
