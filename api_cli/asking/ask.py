"""One command, from its configuration to folders of answers."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.asking import answers
from api_cli.asking.answers import Answered, AnswersFolder, digest_of, folder_name
from api_cli.asking.backend import Backend, backend_of
from api_cli.asking.batch import export_batch, import_batch
from api_cli.asking.client import Outcome
from api_cli.asking.exchange import Prompt, Reply, Request
from api_cli.asking.question import Question
from api_cli.asking.sending import send
from api_cli.asking.target import Target, find_targets
from api_cli.asking.template import Template, read_template
from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.ask import AskConfig
from api_cli.options.launch import default_num_workers
from api_cli.runs.ledger import Row

_AT_ONCE = 256  # pictures that are looked at together


@dataclass
class Report:
    """What became of what was asked for.

    Attributes:
        folders: of answers.
        asked_for: questions.
        finished: answered now.
        failed: without an answer.
        cut_empty: whose answer is empty because its length was spent before it began.
    """

    folders: list[Path]
    asked_for: int = 0
    finished: int = 0
    failed: int = 0
    cut_empty: int = 0


class Opened(NamedTuple):
    """A target whose folder of answers is open."""

    target: Target
    folder: AnswersFolder
    first_round: Mapping[str, str] | None

    @property
    def title(self) -> str:
        """The pictures and the settings, wherever the folder lies."""
        of_run = self.target.originals is not None  # whose name is of two folders
        return "/".join(self.folder.path.parts[-4 if of_run else -3 :])


def ask(config: AskConfig, console: Console) -> Report:
    """Do what `apiprompt ask` was asked to.

    Raises:
        ApipromptError, DatasetError, OSError: with a message for the user.
    """
    template = read_template(config.prompt)
    if template.takes_answer != (config.answers_of is not None):
        raise UsageError(
            f"--prompt {config.prompt} shows an answer of a first round: say whose, --answers-of"
            if template.takes_answer
            else f"--answers-of: --prompt {config.prompt} shows no {{answer}}; try iterative"
        )
    backend = backend_of(config, console)
    targets = find_targets(config, console.say)
    settings = _settings(config, template, backend)
    name = folder_name(backend.model_name, settings)
    if config.dry_run:
        return _dry_run(config, targets, name, console)

    report = Report([target.answers / name for target in targets])
    pending: list[tuple[Opened, Question]] = []
    for target, path in zip(targets, report.folders, strict=True):
        record = {
            "prompt": config.prompt,
            "about": target.about,
            **backend.record,
            "versions": _versions(backend),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        first_round = _first_round(target, config.answers_of)
        opened = Opened(target, AnswersFolder(path, settings, record), first_round)
        pending += _pending(opened, config, template, report)
    if not pending:
        console.say(f"nothing left to ask: all {report.asked_for} questions are answered")
        return report
    standing = report.asked_for - len(pending) - report.failed
    if standing:
        console.say(f"{standing} of {report.asked_for} questions are answered already")

    requests = (_request(opened, question, template, config) for opened, question in pending)
    if config.export_batch is not None:
        export_batch(config.export_batch, requests, backend.body, console)
        return report
    with console.progress(len(pending), "asking", "answers") as advance:
        groups = (
            _in_groups(import_batch(config.import_batch, requests, console))
            if config.import_batch
            else backend.answers(requests)
        )
        with closing(groups):
            for group in groups:
                _enter(group, report)
                advance(report)
    for folder in {id(opened): opened.folder for opened, _ in pending}.values():
        folder.end()
    return report


def _enter(group: Iterable[Outcome], report: Report) -> None:
    """Write what is known of some requests, and count it."""
    by_folder: dict[int, list[Outcome]] = {}
    for outcome in group:
        by_folder.setdefault(id(outcome.request.tag), []).append(outcome)
        if isinstance(outcome, Reply):
            report.finished += 1
            report.cut_empty += outcome.cut_empty
        else:
            report.failed += 1
    for outcomes in by_folder.values():
        opened: Opened = outcomes[0].request.tag
        opened.folder.add(outcomes)


def _in_groups(outcomes: Iterator[Outcome]) -> Generator[list[Outcome], None, None]:
    while group := list(islice(outcomes, _AT_ONCE)):
        yield group


def _settings(config: AskConfig, template: Template, backend: Backend) -> dict[str, Any]:
    """All that shapes an answer but the pictures' content."""
    return {
        **backend.settings,
        "prompt": template.to_dict(),
        **({} if config.answers_of is None else {"answers_of": Path(config.answers_of).name}),
        "image_format": config.image_format,
        "max_side": config.max_side,
    }


def _selected(target: Target, config: AskConfig) -> Iterator[tuple[Question, Row]]:
    """The questions in the range and of the shard, by their position in the dataset."""
    start, stop = config.range or (0, None)
    index, number = config.shard
    for question, row in target.questions():
        in_range = question.position >= start and (stop is None or question.position < stop)
        if in_range and (question.position - start) % number == index:
            yield question, row


def _pending(
    opened: Opened, config: AskConfig, template: Template, report: Report
) -> list[tuple[Opened, Question]]:
    """Note what is asked for, and find what of it has no answer that counts."""
    questions: list[Question] = []

    def rows() -> Iterator[Row]:
        for question, row in _selected(opened.target, config):
            questions.append(question)
            yield row

    opened.folder.note(rows())
    report.asked_for += len(questions)
    there = ((question, opened.folder.get(question.key)) for question in questions)
    standing = set()
    with ThreadPoolExecutor(default_num_workers("auto")) as pool:
        answered = ((question, answer) for question, answer in there if answer is not None)
        while some := list(islice(answered, _AT_ONCE)):
            counts = partial(_counts, opened, template)
            for (question, answer), stands in zip(some, pool.map(counts, some), strict=True):
                if stands:
                    standing.add(question.key)
                    report.cut_empty += answer.cut_empty
    pending = [question for question in questions if question.key not in standing]
    opened.folder.begin({question.key for question in pending})
    return [(opened, question) for question in pending]


def _counts(opened: Opened, template: Template, item: tuple[Question, Answered]) -> bool:
    """Whether an answer answers what would be sent now; where that cannot be read, it stays."""
    question, answer = item
    try:
        pictures = [
            sha256(source.read()).hexdigest()
            for source, _ in opened.target.pictures(question, template.images)
        ]
        return answer.asked == digest_of(_text(opened, question, template), pictures)
    except (OSError, LookupError):
        return True


def _request(opened: Opened, question: Question, template: Template, config: AskConfig) -> Request:
    return Request(
        question.key, partial(_prompt, opened, question, template, config.max_side), opened
    )


def _prompt(opened: Opened, question: Question, template: Template, max_side: int | None) -> Prompt:
    """What is sent, its pictures read now."""
    if question.fault:
        raise LookupError(question.fault)
    text = _text(opened, question, template)
    pictures = opened.target.pictures(question, template.images)
    sent = tuple(send(source, encoding, max_side) for source, encoding in pictures)
    return Prompt(text, template.system, sent)


def _text(opened: Opened, question: Question, template: Template) -> str:
    if opened.first_round is None:
        return template.fill(question.text, question.prompt)
    if question.key not in opened.first_round:
        raise LookupError("no answer of the first round")
    return template.fill(question.text, question.prompt, opened.first_round[question.key])


def _first_round(target: Target, answers_of: str | None) -> Mapping[str, str] | None:
    """The answers that a second round shows, by key."""
    if answers_of is None:
        return None
    is_folder = (Path(answers_of) / answers.RECORD).is_file()
    folder = Path(answers_of) if is_folder else target.answers / answers_of
    rows = answers.read_answers(folder).answers
    return {key: row["answer"] for key, row in rows.items()}


def _dry_run(config: AskConfig, targets: Iterable[Target], name: str, console: Console) -> Report:
    for target in targets:
        path = target.answers / name
        has_record = (path / answers.RECORD).is_file()
        there = answers.read_answers(path).answers if has_record else {}
        keys = [question.key for question, _ in _selected(target, config)]
        left = sum(key not in there for key in keys)
        console.say(f"{path}: {left} of {len(keys)} questions to ask")
    return Report([])


def _versions(backend: Backend) -> dict[str, str]:
    return {name: version(name) for name in ("apiprompt", "pillow", *backend.packages)}
