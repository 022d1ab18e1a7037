"""ANLS of DocVQA and InfographicVQA: forgives misread letters (Biten et al., ICCV 2019).

The variant of the RRC challenge and of lmms-eval's `anls`: lower case, surrounding and repeated
blanks left out; 1 - distance / length of the longer, nothing below 0.5; the best right answer
counts. (ANLS*, for lists and trees, is another metric.)
"""

from __future__ import annotations

from api_cli.scoring.metrics.verdict import Row, Verdict, right_answers

THRESHOLD = 0.5


def anls(row: Row, answer: str) -> Verdict:
    """The nearest right answer's similarity, 0 where that is below `THRESHOLD`."""
    parsed = _normalise(answer)
    best = max(similarity(parsed, _normalise(right)) for right in right_answers(row))
    return Verdict(best if best >= THRESHOLD else 0.0, parsed, not parsed)


def similarity(one: str, other: str) -> float:
    """1 - Levenshtein's distance over the longer one's length, from 0 to 1."""
    longest = max(len(one), len(other))
    return 1.0 if longest == 0 else 1 - _distance(one, other) / longest


def _normalise(text: str) -> str:
    return " ".join(text.lower().split())


def _distance(one: str, other: str) -> int:
    """Least number of letters inserted, deleted or replaced."""
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, start=1):
        diagonal, row[0] = row[0], i
        for j, b in enumerate(other, start=1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (a != b))
    return row[-1]
