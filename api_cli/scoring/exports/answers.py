"""Answers as the sets' own evaluators and servers take them; none where one is missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from api_cli.asking.answers import AnswerSet
from api_cli.errors import ApipromptError
from api_cli.runs.ledger import Row
from api_cli.scoring.files import write_json, write_rows
from api_cli.scoring.metrics.vqa import normalise
from api_cli.scoring.scores import missing_keys


class ExportError(ApipromptError):
    """What cannot be exported as it is."""


def mm_vet(answers: AnswerSet, folder: Path) -> list[Path]:
    """`{"v1_0": "answer", ...}`, for `mm-vet_evaluator.py` and the hub's MM-Vet_Evaluator."""
    path = folder / f"{folder.name}.json"
    write_json(path, {_id(row): text for row, text in pairs(answers)})
    return [path]


def llava_bench(answers: AnswerSet, folder: Path) -> list[Path]:
    """A line an answer in the questions' order, by which `eval_gpt_review_bench.py` pairs them."""
    model = str(answers.settings.get("model"))
    path = folder / f"{folder.name}.jsonl"
    ordered = sorted(pairs(answers), key=lambda pair: int(pair[0].get("index") or 0))
    write_rows(
        path,
        [
            {
                "question_id": row.get("question_id", row["key"]),
                "prompt": row["question"],
                "text": text,
                "answer_id": f"{folder.name}-{row['key']}",
                "model_id": model,
                "metadata": {},
            }
            for row, text in ordered
        ],
    )
    return [path]


def viz_wiz(answers: AnswerSet, folder: Path) -> list[Path]:
    """`[{"image": ..., "answer": ...}]` for VizWiz's server, normalised as LLaVA's script does."""
    rows = [
        {"image": _with_suffix(str(row.get("image") or _id(row))), "answer": normalise(text)}
        for row, text in pairs(answers)
    ]
    path = folder / f"{folder.name}.json"
    write_json(path, rows)
    return [path]


def text_vqa(answers: AnswerSet, folder: Path) -> list[Path]:
    """`[{"question_id": ..., "answer": ...}]` for TextVQA's server."""
    rows = [{"question_id": _number(_id(row)), "answer": text} for row, text in pairs(answers)]
    path = folder / f"{folder.name}.json"
    write_json(path, rows)
    return [path]


def mme(answers: AnswerSet, folder: Path) -> list[Path]:
    """A text a subtask for `eval_tool/calculation.py`: image, question, truth and answer by tabs.

    Lines come in pairs of one image, since it reads them two by two.
    """
    subtasks: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row, text in pairs(answers):
        subtask, _, image = _id(row).rpartition("/")
        asked = f"{row['question']}{row.get('prompt') or ''}"
        fields = (image, asked, str(row.get("answer")), text)
        line = "\t".join(" ".join(field.split()) for field in fields)
        subtasks[subtask or str(row.get("category"))][image].append(line)
    paths = []
    for subtask, images in subtasks.items():
        odd = next((image for image, lines in images.items() if len(lines) != 2), None)
        if odd is not None:
            raise ExportError(f"MME's {subtask}, {odd}: not two answers, and its tool reads pairs")
        path = folder / f"{subtask}.txt"
        path.write_text(
            "".join(f"{line}\n" for lines in images.values() for line in lines), encoding="utf-8"
        )
        paths.append(path)
    return paths


def pairs(answers: AnswerSet) -> Iterator[tuple[Row, str]]:
    """Rows of questions with their answers.

    Raises:
        ExportError: where an answer is missing: an evaluator would take it for a wrong one.
    """
    missing = missing_keys(answers)
    if missing:
        raise ExportError(
            f"{answers.folder}: {len(missing)} samples have no answer ({missing[0]} first), which "
            "an evaluator would count as wrong; `apiprompt ask` again"
        )
    for key, row in answers.questions.items():
        yield row, str(answers.answers[key].get("answer") or "")


def _id(row: Row) -> str:
    return str(row.get("question_id", row["key"]))


def _number(text: str) -> int | str:
    return int(text) if text.isdigit() else text


def _with_suffix(image: str) -> str:
    return image if Path(image).suffix else f"{image}.jpg"
