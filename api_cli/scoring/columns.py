"""What a comparison holds of a folder of answers: arrays, so that many fit beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api_cli.asking.answers import AnswerSet
from api_cli.runs.ledger import Row
from api_cli.runs.names import digest_text
from api_cli.scoring.scale import Scale, dataset_of

CATEGORY = "category"


class Column(NamedTuple):
    """A setting's scored samples.

    Attributes:
        folder: of the answers.
        keys: of the samples, in the questions' order.
        scores: (N,) from 0 to 1.
        megapixels: (N,) millions of pixels that were sent.
        texts: 16 hex digits of what was sent as text, each.
        pictures: SHA-256 of the original picture, each; the key where it is not known.
        groups: names of the groups that a sample belongs to, each.
        samples: number of all that were asked about, scored or not.
        same: what has to be the same in another setting, so that they differ in the picture alone.
        is_control: whether the masks are another sample's.
    """

    folder: Path
    keys: list[str]
    scores: NDArray[np.float64]
    megapixels: NDArray[np.float64]
    texts: list[str]
    pictures: list[str]
    groups: list[tuple[str, ...]]
    samples: int
    same: Mapping[str, Any]
    is_control: bool


def read_column(answers: AnswerSet, scale: Scale, by: str | None) -> Column:
    """Score a folder's answers, and keep what a comparison needs.

    Args:
        answers: of the folder.
        scale: by which they are scored.
        by: `CATEGORY` for the metric's groups, the name of a column, or None for no groups.
    """
    scored = [one for one in scale.score(answers) if one.verdict is not None]
    known: dict[str, str] = {}  # a text is held once
    return Column(
        answers.folder,
        [one.row["key"] for one in scored],
        np.array([one.verdict.score for one in scored if one.verdict], dtype=np.float64),
        np.array([_megapixels(one.answer) for one in scored], dtype=np.float64),
        [_intern(known, digest_text(str(one.answer.get("text")))) for one in scored],
        [_intern(known, _picture(one.row, one.answer)) for one in scored],
        [_groups(one.row, scale, by, known) for one in scored],
        len(answers.questions),
        _same(answers, scale, {str(one.answer.get("model")) for one in scored}),
        answers.about.get("shuffle_masks") is not None,
    )


def differing(one: Column, other: Column) -> list[str]:
    """In what two settings differ but the picture, each as words for a message."""
    names = {**one.same, **other.same}
    return [
        f"{name} is {other.same.get(name)!r}, not {one.same.get(name)!r}"
        for name in names
        if one.same.get(name) != other.same.get(name)
    ]


def _same(answers: AnswerSet, scale: Scale, served: set[str]) -> dict[str, Any]:
    settings = dict(answers.settings)
    prompt = settings.pop("prompt", None)
    flat = {f"prompt's {name}": value for name, value in dict(prompt or {}).items()}
    about = answers.about
    if settings.get("image_format", "as-is") == "as-is":  # else all are encoded alike
        flat["pictures' encoding"] = (about.get("format"), about.get("quality"))
    judge = {f"judge's {name}": value for name, value in scale.judge.items()}
    names = sorted(served - {"None"})
    served_as = {"model as the server names it": names[0] if len(names) == 1 else names}
    return (
        {"dataset": dataset_of(answers), "metric": scale.name}
        | settings
        | (served_as if names else {})
        | flat
        | judge
    )


def _megapixels(answer: Row) -> float:
    sent = answer.get("sent") or ()
    return sum(int(one.get("width", 0)) * int(one.get("height", 0)) for one in sent) / 1e6


def _picture(row: Row, answer: Row) -> str:
    sent: Row = (answer.get("sent") or ({},))[0]
    known = row.get("image_sha256") or sent.get("source_sha256") or sent.get("sha256")
    return str(known or row["key"])


def _groups(row: Row, scale: Scale, by: str | None, known: dict[str, str]) -> tuple[str, ...]:
    if by is None:
        return ()
    if by == CATEGORY:
        names = tuple(scale.groups(row))
    else:
        value = row.get(by)
        names = () if value is None else (str(value),)
    return tuple(_intern(known, name) for name in names)


def _intern(known: dict[str, str], text: str) -> str:
    return known.setdefault(text, text)
