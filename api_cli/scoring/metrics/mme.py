"""MME: yes or no, two questions a picture, 14 subtasks of which each is worth 200.

The variant of the release's `eval_tool/calculation.py`. lmms-eval strips the answer and drops
points first; VLMEvalKit wants exactly one of the words anywhere, and else asks a judge.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from api_cli.scoring.metrics.verdict import Figures, Row, Scored, UnscorableError, Verdict
from datasets_manager.mme import SUBTASKS

PERCEPTION, COGNITION = SUBTASKS[:10], SUBTASKS[10:]
_QUESTIONS_A_PICTURE = 2


def mme(row: Row, answer: str) -> Verdict:
    """1 where the answer is taken for the right word; one taken for neither is wrong."""
    right = str(row.get("answer") or "").strip().lower()
    if right not in ("yes", "no"):
        raise UnscorableError(f"MME's right answer is Yes or No, got {row.get('answer')!r}")
    parsed = parse(answer)
    return Verdict(float(parsed == right), parsed, parsed == "other")


def parse(answer: str) -> str:
    """yes, no or other: the word itself, else what the first four characters contain."""
    answer = answer.lower()
    if answer in ("yes", "no"):
        return answer
    start = answer[:4]
    return "yes" if "yes" in start else "no" if "no" in start else "other"


def figures(scored: Sequence[Scored]) -> Figures:
    """Perception (of 2000), cognition (of 800), accuracies in percent, and each subtask's score.

    Accuracy+ is the share of pictures with both questions right, among those with both answered;
    a subtask's score is the sum of both accuracies. A sum is given where none of its subtasks is
    missing.
    """
    if not scored:
        return {}
    subtasks: dict[str, list[Scored]] = defaultdict(list)
    for one in scored:
        subtasks[str(one.row.get("category"))].append(one)
    scores = {name: sum(_accuracies(subtasks[name])) for name in SUBTASKS if name in subtasks}
    sums = {"perception": PERCEPTION, "cognition": COGNITION}
    both = {
        name: sum(scores[subtask] for subtask in names)
        for name, names in sums.items()
        if all(subtask in scores for subtask in names)
    }
    accuracy, accuracy_plus = _accuracies(scored)
    return both | {"accuracy": accuracy, "accuracy+": accuracy_plus} | scores


def _accuracies(scored: Sequence[Scored]) -> tuple[float, float]:
    """Percent of questions right, and percent of pictures with both right."""
    pictures: dict[str, list[float]] = defaultdict(list)
    for one in scored:
        pictures[str(one.row.get("question_id"))].append(one.verdict.score)
    whole = [scores for scores in pictures.values() if len(scores) == _QUESTIONS_A_PICTURE]
    right = sum(one.verdict.score for one in scored)
    plus = sum(min(scores) for scores in whole) / len(whole) if whole else 0.0
    return 100 * right / len(scored), 100 * plus
