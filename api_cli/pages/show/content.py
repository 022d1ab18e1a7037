"""What the page says, as JSON's types: the data that page.js makes cards of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.asking.answers import is_cut_empty
from api_cli.pages.datasets import cut
from api_cli.pages.show.drawing import DrawnItem, DrawnRun, Gone
from api_cli.pages.show.runs import Answered, Item, Run, read_answered, read_plain
from api_cli.runs.columns import OWN_COLUMNS
from api_cli.runs.ledger import Row
from api_cli.scoring.columns import CATEGORY
from api_cli.scoring.judges import JUDGES
from api_cli.scoring.metrics import METRICS, UnscorableError
from api_cli.scoring.metrics.verdict import category, right_answers
from datasets_manager import available_datasets

Json = dict[str, Any]
Groups = Callable[[Row], Iterable[str]]
_TITLES = {"file_name": "Masked"}
_SHOWN = OWN_COLUMNS | {"file_name", "answer", "answers"}  # in places of their own


class Picture(NamedTuple):
    """A thumbnail of the page.

    Attributes:
        source: its address, seen from the page, or itself as a `data:` URL.
        width, height: in pixels.
    """

    source: str
    width: int
    height: int


class Asked(NamedTuple):
    """The answers that stand on the page.

    Attributes:
        titles: of the ways of asking, by the names of their folders.
        plain: about originals: by dataset, then by those names.
        runs: about each run's pictures, by those names.
    """

    titles: Mapping[str, str]
    plain: Mapping[str, Mapping[str, Answered]]
    runs: Sequence[Mapping[str, Answered]]

    def notes(self) -> list[str]:
        """What a reader should know of them."""
        every = [*self.plain.values(), *self.runs]
        old = {one.answers.folder for there in every for one in there.values() if one.outdated}
        return [
            f"The scores in {folder} are older than its answers: apiprompt score brings them up"
            for folder in sorted(old)
        ]


def read_asked(runs: Sequence[Run], named: Sequence[Path]) -> Asked:
    """The answers about runs' pictures, and about their originals in the same way.

    Args:
        runs: that are shown.
        named: folders of answers about originals that do not stand beside them.
    """
    of_runs = [read_answered(run.folder) for run in runs]
    plain = read_plain(runs, named)
    found: dict[str, str] = {}
    for there in (*of_runs, *plain.values()):
        for name, answered in there.items():
            found.setdefault(name, answered.title)
    titles = list(found.values())
    return Asked(
        {
            name: title if titles.count(title) == 1 else f"{title} ({name})"
            for name, title in found.items()
        },
        plain,
        of_runs,
    )


def describe_runs(runs: Sequence[Run]) -> list[Json]:
    """Names and settings of the runs, a column each."""
    return [
        {
            "label": run.label,
            "folder": str(run.folder),
            "settings": [[name, _as_text(value)] for name, value in run.settings.items()],
        }
        for run in runs
    ]


def describe_item(item: Item, drawn: DrawnItem[Picture], asked: Asked, groups: Groups) -> Json:
    """A sample: its texts, pictures and answers."""
    row, failed = item.row, not any(item.rows)
    answers = [
        [
            _answer(there.get(name), item.asked_as)
            for there in (asked.plain.get(item.dataset, {}), *asked.runs)
        ]
        for name in asked.titles
    ]
    return {
        "key": item.key,
        "index": item.position,
        "question": None if failed else _as_text(row.get("question") or ""),
        "query": _as_text(row["query"]) if row.get("query") else None,
        "expected": _expected(row),
        "groups": list(groups(row)),
        "original": _picture(drawn.original),
        "runs": [
            _run(row, error, made)
            for row, error, made in zip(item.rows, item.errors, drawn.runs, strict=True)
        ],
        "answers": answers,
        "more": [] if failed else [[k, cut(v)] for k, v in row.items() if _is_more(k, v)],
    }


def groups_of(by: str, dataset: str) -> Groups:
    """How a row's groups are found: by the dataset's metric, or as the values of a column."""
    if by != CATEGORY:
        return lambda row: [_as_text(row[by])] if row.get(by) is not None else []
    metrics = {info.name: info.metric for info in available_datasets()}
    name = metrics.get(dataset, "")
    if name in JUDGES:
        return JUDGES[name].groups
    return METRICS[name].groups if name in METRICS else category


def _run(row: Row | None, error: Row | None, drawn: DrawnRun[Picture] | None) -> Json | None:
    """A sample in a run: what it made of it, or what went wrong."""
    if error is not None:
        return {"error": f"{error.get('stage')}: {error.get('error')}"}
    if row is None or drawn is None:
        return None
    answer = row.get("auxiliary_answer")
    return {
        "heat": _picture(drawn.heat),
        "pictures": [
            [_TITLES.get(column, _title(column)), _picture(picture)]
            for column, picture in drawn.pictures.items()
        ],
        "auxiliary": None if answer is None else _as_text(answer),
        "remarks": _remarks(row),
    }


def _title(column: str) -> str:
    return column.removesuffix("_file_name").replace("_", " ").capitalize()


def _remarks(row: Row) -> list[str]:
    found = []
    if row.get("flat"):
        found.append("flat map: the picture is as it was")
    if row.get("mask_of") is not None:
        found.append(f"mask of {row['mask_of']}")
    if row.get("highlighted") is False:
        found.append("its answer lacks the part to highlight: all of it counts")
    if row.get("question_cut"):
        found.append("the model read the beginning of the question alone")
    return found


def _answer(answered: Answered | None, key: str) -> Json | None:
    """What became of a question; None where it was not asked."""
    if answered is None:
        return None
    answers, scores, _ = answered
    row = answers.answers.get(key)
    if row is None:
        if key in answers.errors:
            error = answers.errors[key]
            return {"error": f"{error.get('stage')}: {error.get('error')}"}
        return {"error": "not asked yet"} if key in answers.questions else None
    found: Json = {"text": _as_text(row.get("answer") or "")}
    score = scores.get(key, {})
    value = score.get("score")
    if isinstance(value, int | float) and isfinite(value):
        found["score"] = value
    if score.get("error"):
        found["remark"] = f"not scored: {score['error']}"
    elif is_cut_empty({"answer": "", "finish_reason": "", **row}):
        found["remark"] = "cut off before it began"
    elif row.get("finish_reason") == "length":
        found["remark"] = "cut off"
    elif score.get("unparsed"):
        found["remark"] = "not understood by the metric"
    return found


def _expected(row: Row) -> list[str]:
    try:
        return list(dict.fromkeys(right_answers(row)))
    except UnscorableError:
        return []


def _picture(picture: Picture | Gone) -> list[Any] | str:
    return picture.why if isinstance(picture, Gone) else list(picture)


def _is_more(column: str, value: object) -> bool:
    return not (value is None or column in _SHOWN or column.endswith("_file_name"))


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else cut(value)
