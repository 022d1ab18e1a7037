"""lmms-eval: the original task with the masked pictures in the originals' place.

A task of its own name is needed: the harness's cache of answers does not look at the picture. Its
tasks read the columns of the hub's rows; what is otherwise on disk is brought to that form. (Read
off lmms-eval 0.7.3.)
"""

from __future__ import annotations

import base64
import glob
import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from api_cli.runs.columns import unfold
from api_cli.runs.ledger import Row
from api_cli.scoring.exports.run import Run, facts, link_pictures
from api_cli.scoring.files import write_rows
from api_cli.scoring.metrics.verdict import right_answers

Change = Callable[[dict[str, Any]], dict[str, Any]]

_UNKNOWN_PLACE = "LMMS_EVAL"
_FUNCTIONS = '''"""What the task calls."""

import base64
import io

from PIL import Image


def doc_to_visual(doc):
    return [picture(doc[name]).convert("RGB") for name in {pictures}]


def picture(value):
    return Image.open(io.BytesIO(base64.b64decode(value))) if isinstance(value, str) else value


def doc_to_text(doc, lmms_eval_specific_kwargs=None):
    return doc["question"] + (doc.get("prompt") or "")
'''


class Task(NamedTuple):
    """A task of lmms-eval.

    Attributes:
        file: its YAML below `lmms_eval/tasks`.
        change: a row's columns to those that it reads.
        as_text: column that holds the picture as base64; empty for a picture.
    """

    file: str
    change: Change = dict
    as_text: str = ""


def _capabilities(row: dict[str, Any]) -> dict[str, Any]:
    capability = unfold(row.get("capability"))
    return row | ({"capability": ",".join(capability)} if isinstance(capability, list) else {})


def _answers_as_texts(row: dict[str, Any]) -> dict[str, Any]:
    answers = right_answers(row) if row.get("answers") else []  # of a test split
    # the task adds the suffix itself
    return row | {"answers": answers, "question_id": str(row["question_id"]).removesuffix(".jpg")}


def _question_as_text(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"text": row.get("text", row["question"])}


TASKS = {
    "mmvet": Task("mmvet/mmvet.yaml", _capabilities),
    "LLaVA_Wild": Task("llava-in-the-wild/llava-in-the-wild.yaml"),
    "textVQA": Task("textvqa/textvqa_val.yaml"),
    "VisWiz": Task("vizwiz_vqa/vizwiz_vqa_val.yaml", _answers_as_texts),
    "MME": Task("mme/mme.yaml"),
    "POPE": Task("pope/pope.yaml"),
    "vstar": Task("vstar_bench/vstar_bench.yaml", _question_as_text),
    "HR-Bench-4K": Task("hrbench/hrbench4k.yaml", as_text="image"),
    "HR-Bench-8K": Task("hrbench/hrbench8k.yaml", as_text="image"),
    "MME-RealWorld-Lite": Task("mme_realworld/mme_realworld_lite.yaml", as_text="bytes"),
    "DocVQA": Task("docvqa/docvqa_val.yaml"),
    "InfoVQA": Task("infovqa/infovqa_val.yaml"),
}


def lmms_eval(run: Run, folder: Path) -> list[Path]:
    """A folder for `lmms_eval --include_path`: a task's YAML, and the rows with their pictures."""
    task = TASKS.get(run.dataset)
    name = re.sub(r"\W+", "_", f"apiprompt_{run.dataset}_{folder.name}")
    data = folder / "data"
    rows = [task.change(facts(row)) if task else facts(row) for row in run.rows]
    content: dict[str, Any] = {"task": name, "test_split": "train"}
    first = task.as_text if task and task.as_text else "image"
    pictures = [_feature(column, first) for column in run.pictures(run.rows[0])]
    if task and task.as_text:
        data.mkdir(parents=True, exist_ok=True)
        path = data / "rows.jsonl"
        texts = (_as_text(run.pictures(row), first) for row in run.rows)
        write_rows(path, (row | more for row, more in zip(rows, texts, strict=True)))
        content |= {"dataset_path": "json", "dataset_kwargs": {"data_files": str(path.resolve())}}
    else:
        names = list(link_pictures(run, data))
        for row in rows:
            for picture in pictures:  # the name of the original's file, where a task looks for one
                row.pop(picture, None)
        write_rows(data / "metadata.jsonl", (n | row for n, row in zip(names, rows, strict=True)))
        # said in full, since `datasets` takes a file called VizWiz_val_... for a split's
        every_file = f"{glob.escape(str(data.resolve()))}/**"
        content |= {
            "dataset_path": "imagefolder",
            "dataset_kwargs": {"data_files": {"train": every_file}},
        }
    path = folder / f"{name}.yaml"
    if task:
        text = yaml.safe_dump({"include": f"{_place()}/tasks/{task.file}"} | content)
        ours = ["doc_to_visual"] if len(pictures) > 1 else []  # tasks show one picture
    else:
        text = yaml.safe_dump(content | _own_task(run.rows[0]))
        ours = ["doc_to_visual", "doc_to_text"]
    if ours:
        functions = _FUNCTIONS.replace("{pictures}", repr(pictures))
        (folder / "functions.py").write_text(functions, encoding="utf-8")
    text += "".join(f"{function}: !function functions.{function}\n" for function in ours)
    path.write_text(text, encoding="utf-8")
    return [path]


def _feature(column: str, first: str) -> str:
    """What `datasets` calls the picture of a column."""
    return first if column == "file_name" else column.removesuffix("_file_name")


def _as_text(pictures: Mapping[str, Path], first: str) -> dict[str, str]:
    """Pictures as base64, as some tasks have them."""
    return {
        _feature(column, first): base64.b64encode(path.read_bytes()).decode()
        for column, path in pictures.items()
    }


def _own_task(row: Row) -> dict[str, Any]:
    """What a set without a task is scored by."""
    target = "answer" if row.get("answer") is not None else "answers"
    return {
        "output_type": "generate_until",
        "doc_to_target": f"{{{{{target}}}}}",
        "generation_kwargs": {"max_new_tokens": 128, "temperature": 0, "do_sample": False},
        "metric_list": [
            {
                "metric": "exact_match",
                "aggregation": "mean",
                "higher_is_better": True,
                "ignore_case": True,
                "ignore_punctuation": True,
            }
        ],
        "metadata": [{"version": 0.0}],
    }


def _place() -> str:
    """Where lmms-eval is installed, or a word to be replaced by that."""
    found = importlib.util.find_spec("lmms_eval")
    places = list(found.submodule_search_locations or ()) if found else []
    return places[0] if places else _UNKNOWN_PLACE


def note() -> str:
    """What a user has to do where lmms-eval is not installed beside this program."""
    if _place() != _UNKNOWN_PLACE:
        return ""
    return (
        f"lmms-eval is not installed here: in the YAML, replace {_UNKNOWN_PLACE} by what "
        "`python -c 'import lmms_eval; print(lmms_eval.__path__[0])'` prints where it is"
    )
