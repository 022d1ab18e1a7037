"""MMMU: options by letter, and open questions with a word or a number.

The variant of the benchmark's own `eval/eval_utils.py`, except that where its rules find no option
it draws one by chance: here that answer is unparsed and wrong. lmms-eval has two steps more, for
"A " and "A.", and draws as well, without a seed.
"""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterable, Sequence
from contextlib import suppress

from api_cli.scoring.metrics.verdict import Row, UnscorableError, Verdict, right_answers
from datasets_manager import DatasetError
from datasets_manager.mmmu import read_options

DOMAINS = {
    "Art and Design": ("Art", "Art_Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        "Basic_Medical_Science", "Clinical_Medicine", "Diagnostics_and_Laboratory_Medicine",
        "Pharmacy", "Public_Health",
    ),
    "Humanities and Social Science": ("History", "Literature", "Sociology", "Psychology"),
    "Tech and Engineering": (
        "Agriculture", "Architecture_and_Engineering", "Computer_Science", "Electronics",
        "Energy_and_Power", "Materials", "Mechanical_Engineering",
    ),
}  # fmt: skip
_ID = re.compile(r"(?:dev|validation|test)_(\w+)_\d+")
_WORDS_OF_A_SENTENCE = 5
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
_BEFORE_ANSWERS = ("could be", "so", "is", "thus", "therefore", "final", "answer", "result")
_TRIVIAL = (":", ",", ".", "!", "?", ";", "'")


def mmmu(row: Row, answer: str) -> Verdict:
    """1 where the answer names the right option, or holds the right word or number."""
    if row.get("question_type") == "open":
        parsed = parse_open(answer)
        return Verdict(float(_holds(parsed, _right_ones(row))), parsed, not answer.strip())
    try:
        listed = read_options(row.get("options"), "the sample's row")
    except DatasetError as error:
        raise UnscorableError(str(error)) from error
    options = dict(zip(string.ascii_uppercase, listed, strict=False))
    [right, *_] = right_answers(row)
    chosen = parse_choice(answer, options)
    return Verdict(float(chosen == right), chosen, not chosen)


def parse_choice(answer: str, options: dict[str, str]) -> str:
    """The letter of the option that an answer names last, or nothing where it names none."""
    for mark in ",.!?;:'":
        answer = answer.strip(mark)
    answer = f" {answer} "
    bracketed = {letter: answer.rfind(f"({letter})") for letter in options}
    alone = {letter: answer.rfind(f" {letter} ") for letter in options}
    told = {letter: answer.lower().rfind(text.lower()) for letter, text in options.items()}
    steps = [bracketed, alone]
    if len(answer.split()) > _WORDS_OF_A_SENTENCE:
        steps.append(told)
    for places in steps:
        last = max(places.values(), default=-1)
        if last >= 0:  # the first of several that end at the same place, as numpy's argmax
            return next(letter for letter, place in places.items() if place == last)
    return ""


def parse_open(answer: str) -> list[str | float]:
    """Texts and numbers that an answer may be taken for."""
    found = _tails(answer)
    numbers = [number for tail in found for rule in _NUMBERS for number in rule.findall(tail)]
    return [value for text in [*found, *numbers] for value in _normalise(text)]


def _tails(answer: str) -> list[str]:
    """Of each piece the shortest text after a word such as "is"; the whole where there is none."""
    answer = answer.strip().strip(".").lower()
    # the published text looks for a capital after the point, of which there are none left
    pieces = re.split(r"\.\s(?=[A-Z])|\n", answer)
    tails = []
    for number, piece in enumerate(pieces, start=1):
        shortest = ""
        words = [f"{word} " for word in _BEFORE_ANSWERS]
        for word in words + (["="] if number == len(pieces) else []):
            if word in piece:
                tail = piece.split(word)[-1].strip()
                if not shortest or len(tail) < len(shortest):
                    shortest = tail
        if shortest and shortest not in _TRIVIAL:
            tails.append(shortest)
    return tails or [answer]


def _normalise(text: str) -> list[str | float]:
    """A number to two places, or the text in lower case; one letter beside a blank."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]


def _holds(parsed: Iterable[str | float], right: Sequence[str | float]) -> bool:
    texts = [one for one in right if isinstance(one, str)]
    return any(
        any(text in one for text in texts) if isinstance(one, str) else one in right
        for one in parsed
    )


def _right_ones(row: Row) -> list[str | float]:
    """The right answers, normalised; several may stand in one text, as Python writes a list."""
    right = right_answers(row)
    if len(right) == 1 and right[0].startswith("["):
        with suppress(ValueError, SyntaxError):
            right = [str(one) for one in ast.literal_eval(right[0])]
    return [value for one in right for value in _normalise(one)]


def subject(row: Row) -> Iterable[str]:
    """The subject that stands in the row's id, as `validation_Art_Theory_3`, and its domain."""
    found = _ID.match(str(row.get("id") or row.get("key")))
    if found is None:
        return ()
    domain = [name for name, subjects in DOMAINS.items() if found[1] in subjects]
    return (*domain, found[1])
