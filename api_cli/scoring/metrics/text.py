"""Answers in a few words: the same words (`exact`), or the words somewhere in it (`contains`).

Neither is anyone's published metric. `exact` agrees with lmms-eval's `exact_match` with
`ignore_case` and `ignore_punctuation`, which is how its GQA is scored, but for apostrophes and
inner points and commas of numbers, which stay here.
"""

from __future__ import annotations

import re

from api_cli.scoring.metrics.verdict import Row, UnscorableError, Verdict, right_answers

# not within numbers and words: 3.5, 1,000, o'clock
_PUNCTUATION = re.compile(r"(?<!\w)[^\w\s]+|[^\w\s]+(?!\w)")


def normalise(text: str) -> str:
    """Lower case, punctuation at words' ends left out, one blank between words."""
    return " ".join(_PUNCTUATION.sub(" ", text.lower()).split())


def exact(row: Row, answer: str) -> Verdict:
    """1 where the answer is one of the right ones, compared as `normalise` has them."""
    parsed = normalise(answer)
    return Verdict(float(parsed in map(normalise, right_answers(row))), parsed, not parsed)


def contains(row: Row, answer: str) -> Verdict:
    """1 where the words of a right answer follow each other somewhere in the answer."""
    parsed = normalise(answer)
    right = [normalise(text) for text in right_answers(row)]
    if not all(right):
        raise UnscorableError("a right answer without a word is contained in everything")
    found = any(f" {text} " in f" {parsed} " for text in right)
    return Verdict(float(found), parsed, not parsed)
