"""What is asked: questions with the pictures that belong to each, of a run or of a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from api_cli.runs.columns import column_name, plain_row
from api_cli.runs.ledger import Row, read_rows
from api_cli.runs.names import safe_name
from api_cli.runs.run_folder import ERRORS, MANIFEST, picture_files
from datasets_manager import Sample


class Source(NamedTuple):
    """A picture's file, not yet read.

    Attributes:
        file_name: its name.
        read: gives its content; raises OSError where it cannot be read.
        is_original: whether a run left the picture as it was, to go before what it made of it.
    """

    file_name: str
    read: Callable[[], bytes]
    is_original: bool = False


class Question(NamedTuple):
    """One request's worth: a question, and one picture or several.

    Attributes:
        key: the sample's; of a question about several images, the question's own id.
        position: in the dataset, of the first image.
        text: the question.
        prompt: what the dataset's evaluation appends.
        pictures: in the order of sending.
        fault: why it cannot be asked, where that is known already.
    """

    key: str
    position: int
    text: str
    prompt: str
    pictures: tuple[Source, ...]
    fault: str = ""


class _Part(NamedTuple):
    """A row with its pictures: a question, or one of a question's images; and why not to ask it."""

    row: Row
    pictures: tuple[Source, ...]
    fault: str = ""


def of_run(folder: Path) -> Iterator[tuple[Question, Row]]:
    """A run folder's questions with their rows; of samples that the run failed on, the faults."""
    failed = {row["key"]: row for row in read_rows(folder / ERRORS)}
    parts_of: dict[str, list[str]] = {}  # keys of images by the id of their question, if it is one
    for key in failed:
        parts_of.setdefault(key.rpartition("_")[0], []).append(key)

    def parts_there() -> Iterator[_Part]:
        for row in read_rows(folder / MANIFEST):
            failed.pop(row["key"], None)
            yield _Part(row, tuple(_sources(folder, [*picture_files(row).values()])))

    for question, row in _by_question(parts_there()):
        several = "image_number" in row  # not another sample whose key ends in a number
        parts = [k for k in parts_of.get(question.key, ()) if several and k in failed]
        if parts:
            fault = f"the run has no picture {', '.join(parts)}: {failed[parts[0]].get('error')}"
            question = question._replace(fault=fault)
            for key in parts:
                del failed[key]
        yield question, row
    for key, row in failed.items():
        fault = f"the run has no picture: {row.get('error')}"
        position = _position(row)
        yield Question(key, position, "", "", (), fault), {"key": key, "question": None}


def of_samples(samples: Iterable[Sample]) -> Iterator[tuple[Question, Row]]:
    """A dataset's questions about its originals, with rows as a run's manifest has them."""
    return _by_question(map(_part, samples))


def _by_question(parts: Iterable[_Part]) -> Iterator[tuple[Question, Row]]:
    """Rows to questions: those that are images of one question come together, at the end."""
    several: dict[tuple[str, str], list[_Part]] = {}
    for part in parts:
        shared = shared_id(part.row)
        if shared is None:
            yield _question(part.row["key"], part), part.row
        else:
            several.setdefault((shared, str(part.row["question"])), []).append(part)
    for (shared, _), together in several.items():
        together.sort(key=lambda part: part.row["image_number"])
        row = together[0].row
        pictures = tuple(picture for part in together for picture in part.pictures)
        fault = next((part.fault for part in together if part.fault), "")
        question = _question(shared, _Part(row, pictures, fault))
        wanted = row.get("image_count", len(together))
        if len(together) < wanted:
            fault = f"only {len(together)} of the question's {wanted} pictures are there"
            question = question._replace(fault=fault)
        yield question, {**row, "key": shared}


def shared_id(row: Row) -> str | None:
    """The id of a question of which this row is one image of several; else None.

    The first and only image of a question has the question's id as its key.
    """
    if not isinstance(row.get("image_number"), int):
        return None
    shared = row.get("id", row.get("question_id"))
    return None if shared is None or str(shared) == row["key"] else str(shared)


def _question(key: str, part: _Part) -> Question:
    row, pictures, fault = part
    text, prompt = row.get("question"), row.get("prompt")
    if not (fault or (isinstance(text, str) and text.strip())):
        fault = "the question is empty"
    return Question(
        key,
        _position(row),
        text if isinstance(text, str) else "",
        prompt if isinstance(prompt, str) else "",
        pictures,
        fault,
    )


def _part(sample: Sample) -> _Part:
    """A sample with its original; what a run would not have masked is not asked about either."""
    fault, extra = sample.fault or "", {}
    try:
        extra = {column_name(name): value for name, value in sample.extra.items()}
    except Exception as error:  # whatever a dataset's own columns raise is the sample's matter
        fault = fault or f"{type(error).__name__}: {error}"
    own = {"key": sample.key, "index": sample.index, "question": sample.question}
    name = sample.image.name if isinstance(sample.image, Path) else safe_name(sample.key)
    return _Part(plain_row(own | extra), (Source(name, sample.read_image),), fault)


def _position(row: Row) -> int:
    index = row.get("index")
    return index if isinstance(index, int) else 0


def _sources(folder: Path, names: Sequence[str]) -> Iterator[Source]:
    """A row's pictures; the first of several is the original."""
    for number, name in enumerate(names):
        yield Source(name, partial(_read, folder, name), number == 0 and len(names) > 1)


def _read(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()
