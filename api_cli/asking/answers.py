"""Where answers stand: `answers/{model}-{digest8}/` in a run folder, or in that of the originals.

questions.jsonl   a row a question that was asked for: key, index, question and all that the
                  dataset knows of it
answers.jsonl     a row an answer, appended as it comes
errors.jsonl      questions that got none, and why; only if there are any
ask.yaml          settings (all that shapes an answer), their digest, whose answers these are
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from api_cli.asking.exchange import Failure, Reply
from api_cli.errors import RunFolderError
from api_cli.runs.files import remove_leftovers, write_whole
from api_cli.runs.ledger import Ledger, Row, read_lines, read_rows, to_line
from api_cli.runs.locks import Lock
from api_cli.runs.names import digest_text, safe_name
from api_cli.runs.record import differences

FOLDER = "answers"
QUESTIONS = "questions.jsonl"
ANSWERS = "answers.jsonl"
ERRORS = "errors.jsonl"
RECORD = "ask.yaml"


class Answered(NamedTuple):
    """What is remembered of an answer.

    Attributes:
        asked: `digest_of` what was sent.
        cut_empty: whether the answer is empty because its length was spent before it began.
    """

    asked: str
    cut_empty: bool


class AnswerSet(NamedTuple):
    """A folder of answers, read.

    Attributes:
        folder: its path.
        settings: all that shapes an answer but the pictures.
        record: the whole of ask.yaml.
        questions: rows of all that was asked for, by key.
        answers: rows of what was answered, by key.
        errors: rows of what failed, by key.
    """

    folder: Path
    settings: Mapping[str, Any]
    record: Mapping[str, Any]
    questions: Mapping[str, Row]
    answers: Mapping[str, Row]
    errors: Mapping[str, Row]

    @property
    def about(self) -> Mapping[str, Any]:
        """What the pictures are that were asked about."""
        return dict(self.record.get("about") or {})

    @property
    def missing(self) -> list[str]:
        """Keys of questions without an answer, whatever the cause."""
        return [key for key in self.questions if key not in self.answers]


class AnswersFolder:
    """The answers of one model in one setting about one kind of picture, to be written.

    Args:
        path: the folder; made if need be.
        settings: all that shapes an answer but the pictures; a folder of others is refused.
        record: what else `ask.yaml` should say.

    Raises:
        RunFolderError: where the folder holds answers of other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(path / ".lock")
        self._answers = Ledger(path / ANSWERS, self._lock, _answered)
        self._errors: Ledger[None] = Ledger(path / ERRORS, self._lock, lambda row: None)
        with self._lock:
            self._claim(settings, record)
            remove_leftovers(path)
            self._answers.load()

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def get(self, key: str) -> Answered | None:
        """What is remembered of a question's answer; None where there is none."""
        return self._answers.get(key)

    def note(self, questions: Iterable[Row]) -> None:
        """Note what is asked for now: rows with `key`, which replace those of the same keys."""
        path = self.path / QUESTIONS
        whole = path.with_name(f".{QUESTIONS}.new")  # one writer at a time: under the lock
        with self._lock:
            with whole.open("wb") as file:
                asked = set()
                for row in questions:
                    asked.add(row["key"])
                    file.write(to_line(row))
                for line, other in read_lines(path):
                    if other is not None and other["key"] not in asked:
                        file.write(line)
            whole.replace(path)

    def begin(self, pending: Collection[str]) -> None:
        """Forget what is known of questions that are asked now: errors, and answers to others.

        Args:
            pending: their keys.
        """
        if any(key in self._answers for key in pending):
            self._answers.load(lambda row: row["key"] not in pending)
        self._errors.load(lambda row: row["key"] not in pending)

    def add(self, outcomes: Iterable[Reply | Failure]) -> None:
        """Enter answers, and what failed, which a later run asks again.

        Where a key has an answer by now, that one stays.
        """
        answers, errors = [], []
        for outcome in outcomes:
            if isinstance(outcome, Reply):
                answers.append(_answer(outcome))
            else:
                errors.append(_error(outcome))
        if answers:
            self._answers.extend(answers)
        if errors:
            self._errors.extend(errors)

    def end(self) -> None:
        """Leave among the errors what has no answer now."""
        self._errors.load(lambda row: row["key"] not in self._answers)

    def _claim(self, settings: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Write ask.yaml, or compare with the one that is there."""
        path = self.path / RECORD
        if not path.exists():
            if (self.path / ANSWERS).exists():
                raise RunFolderError(
                    f"{self.path} has answers but no {RECORD}, so what they answer is not known; "
                    "move the folder away"
                )
            content = {"settings": dict(settings), "digest": digest8(settings), **record}
            write_whole(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())
            return
        there = read_record(path.parent)["settings"]
        if differing := differences(there, settings):
            raise RunFolderError(
                f"{self.path} holds answers of other settings: {differing}; move it away"
            )


def _answer(reply: Reply) -> Row:
    return {
        "key": reply.request.key,
        "sent": [picture.row for picture in reply.prompt.pictures],
        "text": reply.prompt.text,
        "answer": reply.answer,
        "finish_reason": reply.finish_reason,
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.completion_tokens,
        "model": reply.model,
        "latency": reply.latency,
    }


def _error(failure: Failure) -> Row:
    row = {"key": failure.request.key, "stage": failure.stage, "error": failure.error}
    return row if failure.status is None else row | {"status": failure.status}


def read_answers(folder: Path) -> AnswerSet:
    """What stands in a folder of answers. Half-written lines do not count.

    Raises:
        RunFolderError: where the folder is none of answers.
    """
    if not (folder / RECORD).is_file():
        raise RunFolderError(f"{folder} holds no answers: no {RECORD} in it; `apiprompt ask` first")
    record = read_record(folder)
    answers = _by_key(folder / ANSWERS)
    errors = {key: row for key, row in _by_key(folder / ERRORS).items() if key not in answers}
    questions = _by_key(folder / QUESTIONS)
    return AnswerSet(folder, record["settings"], record, questions, answers, errors)


def answers_folders(folder: Path) -> list[Path]:
    """The folders of answers in a run folder or in that of the originals, by name."""
    return sorted(path.parent for path in (folder / FOLDER).glob(f"*/{RECORD}"))


def folder_name(model: str, settings: Mapping[str, Any]) -> str:
    """The name of the folder of a model's answers in these settings."""
    return f"{safe_name(model)}-{digest8(settings)}"


def digest8(settings: Mapping[str, Any]) -> str:
    """8 hex digits that differ where settings do."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def digest_of(text: str, pictures: Iterable[str]) -> str:
    """A digest of what is sent: the text, and the SHA-256 of the pictures or of their sources."""
    return digest_text("\n".join([*pictures, text]))


def _answered(row: Row) -> Answered:
    pictures = [picture.get("source_sha256", picture["sha256"]) for picture in row["sent"]]
    return Answered(digest_of(row["text"], pictures), is_cut_empty(row))


def is_cut_empty(row: Row) -> bool:
    """Whether an answer's row is of an empty one: its length was spent before it began."""
    return not row["answer"] and row["finish_reason"] == "length"


def read_record(folder: Path) -> dict[str, Any]:
    """The whole of a folder's ask.yaml. Raises RunFolderError where that is none."""
    path = folder / RECORD
    with suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(record, dict) and isinstance(record.get("settings"), dict):
            return record
    raise RunFolderError(f"{path} is not a record of answers; move its folder away")


def _by_key(path: Path) -> dict[str, Row]:
    """Rows by key, the first of each."""
    rows: dict[str, Row] = {}
    for row in read_rows(path):
        rows.setdefault(row["key"], row)
    return rows
