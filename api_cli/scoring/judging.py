"""Judgements: asked once each, kept beside the answers they are about, and never made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.asking.answers import AnswerSet, digest8
from api_cli.asking.client import Server, ask_all
from api_cli.asking.exchange import Failure, Prompt, Reply, Request
from api_cli.runs.ledger import Ledger, Row
from api_cli.runs.locks import Lock
from api_cli.runs.names import digest_text, safe_name
from api_cli.scoring.judges import Judge
from api_cli.scoring.metrics import UnscorableError
from api_cli.scoring.scores import Score


class Bench(NamedTuple):
    """A judge and the model that plays it.

    Attributes:
        judge: the rule.
        model: as its server knows it.
    """

    judge: Judge
    model: str

    @property
    def settings(self) -> dict[str, Any]:
        """All that shapes a judgement but what is judged; stands in each summary."""
        sample = self.judge.prompt(_ANY_ROW, "") + self.judge.again
        return {
            "model": self.model,
            "prompt_sha256": sha256(sample.encode()).hexdigest(),
            **self.judge.settings,
        }

    def file(self, folder: Path) -> Path:
        """Where the judgements on a folder's answers stand."""
        return folder / f"judgements-{safe_name(self.model)}-{digest8(self.settings)}.jsonl"


# filled into a prompt, it shows all that is not the sample's
_ANY_ROW = {"question": "", "answer": "", "caption": "-", "gpt_answer": "-"}


class _Case(NamedTuple):
    """An answer to be judged."""

    row: Row
    answer: Row
    prompt: str

    @property
    def asked(self) -> str:
        """What tells a judgement on this from one on an earlier answer."""
        return digest_text(self.prompt)


def judge_answers(
    answers: AnswerSet,
    bench: Bench,
    server: Server | None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Score]:
    """Scores by a judge, in the questions' order; what is judged already is not asked again.

    Args:
        answers: to be judged.
        bench: by whom.
        server: where the judge is asked; None to take what is judged already.
        say: takes lines that a user should notice.

    Raises:
        ServerError: where the judge's server is gone; judgements that came stay.
    """
    cases, scores = _cases(answers, bench.judge)
    path = bench.file(answers.folder)
    kept = Ledger(path, Lock(answers.folder / ".lock"), lambda row: row)
    if path.exists():
        # of an answer that was another when it was judged, nothing is kept
        kept.load(lambda row: row["key"] in cases and row["asked"] == cases[row["key"]].asked)
    faults: dict[str, str] = {}
    todo = {key: case for key, case in cases.items() if key not in kept}
    if server is not None and todo:
        faults = _ask(todo, bench.judge, server, kept, say)
    for key, case in cases.items():
        row = kept.get(key)
        verdict = None if row is None else bench.judge.read(str(row["judgement"]))
        error = faults.get(key, "not judged yet") if verdict is None else ""
        scores[key] = Score(case.row, case.answer, verdict, error)
    return [scores[key] for key in answers.questions if key in scores]


def _cases(answers: AnswerSet, judge: Judge) -> tuple[dict[str, _Case], dict[str, Score]]:
    """What is to be judged, and what cannot be, since its row lacks something."""
    cases: dict[str, _Case] = {}
    scores: dict[str, Score] = {}
    for key, row in answers.questions.items():
        answer = answers.answers.get(key)
        if answer is None:
            continue
        try:
            cases[key] = _Case(row, answer, judge.prompt(row, str(answer.get("answer") or "")))
        except UnscorableError as error:
            scores[key] = Score(row, answer, None, str(error))
    return cases, scores


def _ask(
    todo: Mapping[str, _Case],
    judge: Judge,
    server: Server,
    kept: Ledger[Row],
    say: Callable[[str], None],
) -> dict[str, str]:
    """Ask about cases and keep what can be read; those that cannot are asked again.

    Returns:
        By key why there is no judgement.
    """
    faults: dict[str, str] = {}
    left = dict(todo)
    for tries, temperature in enumerate((judge.sampling.temperature, *judge.temperatures), start=1):
        if not left:
            break
        sampling = replace(judge.sampling, temperature=temperature)
        suffix = judge.again if tries > 1 else ""
        unread = {}
        for outcome in ask_all(_requests(left, judge.system, suffix), server, sampling, say):
            key = outcome.request.key
            if isinstance(outcome, Failure):
                faults[key] = f"the judge gave no judgement: {outcome.error}"
            elif judge.read(outcome.answer) is None:
                faults[key] = f"the judgement cannot be read: {outcome.answer[:80]!r}"
                unread[key] = left[key]
            else:
                faults.pop(key, None)
                kept.append(_row(left[key], outcome, temperature, tries))
        left = unread
    return faults


def _requests(cases: Mapping[str, _Case], system: str, suffix: str) -> Iterator[Request]:
    for key, case in cases.items():
        yield Request(key, partial(Prompt, case.prompt + suffix, system))


def _row(case: _Case, reply: Reply, temperature: float | None, tries: int) -> dict[str, Any]:
    return {
        "key": case.row["key"],
        "asked": case.asked,
        "judgement": reply.answer,
        "model": reply.model,
        "temperature": temperature,
        "try": tries,
    }
