"""VQA accuracy of TextVQA and VizWiz: an answer is right in so far as ten people gave it.

The variant of mmf's `EvalAIAnswerProcessor` and `TextVQAAccuracyEvaluator`, which LLaVA's
`llava/eval/m4c_evaluator.py` and lmms-eval's `_task_utils/vqa_eval_metric.py` carry on, quirks
included, since published figures have them. VQA v2's own evaluator differs: it has no step for
"'s", and normalises people's answers only where they disagree.
"""

from __future__ import annotations

import re
from functools import lru_cache

from api_cli.scoring.metrics.contractions import CONTRACTIONS
from api_cli.scoring.metrics.verdict import Row, UnscorableError, Verdict, right_answers

PEOPLE = 10
_NUMBERS = {
    word: str(value)
    for value, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
} | {"none": "0"}
_ARTICLES = ("a", "an", "the")
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"(?<=\d),+(?=\d)")
# meant to spare points between digits; the published pattern's lookbehind is mistyped and holds
# everywhere, so that what spares one is the digit after it
_POINT = re.compile(r"\.(?!\d)")
_POINTS_REMOVED = 32  # re.UNICODE, which the published code hands over as the count


def vqa_accuracy(row: Row, answer: str) -> Verdict:
    """Mean over the ten people left out in turn of min(1, the other nine's matches / 3).

    So 0, 1, 2, 3 and 4 or more of ten give 0, 0.3, 0.6, 0.9 and 1.
    """
    right = [normalise(text) for text in right_answers(row)]
    if len(right) != PEOPLE:
        raise UnscorableError(f"VQA accuracy needs {PEOPLE} people's answers, got {len(right)}")
    parsed = normalise(answer)
    matches = right.count(parsed)
    among_them, among_others = min(3, max(matches - 1, 0)), min(3, matches)
    thirds = matches * among_them + (PEOPLE - matches) * among_others
    return Verdict(thirds / (3 * PEOPLE), parsed, not parsed)


@lru_cache(maxsize=1 << 17)  # people's answers come again with each setting of a sweep
def normalise(text: str) -> str:
    """A text as it is compared."""
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()
    text = text.replace("\n", " ").replace("\t", " ").strip()
    words = [_NUMBERS.get(word, word) for word in _without_punctuation(text).lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(text: str) -> str:
    """Each mark leaves a blank, or nothing if anywhere in `text` it stands beside a blank."""
    result = text
    in_number = _COMMA_IN_NUMBER.search(text) is not None
    for mark in _PUNCTUATION:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if beside_blank or in_number else " ")
    return _POINT.sub("", result, count=_POINTS_REMOVED)
