"""VLMEvalKit: a TSV for `$LMUData`, and a configuration that keeps the official scorer."""

from __future__ import annotations

import ast
import base64
import csv
import json
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.runs.columns import unfold
from api_cli.runs.ledger import Row
from api_cli.scoring.exports.run import Run, facts
from api_cli.scoring.files import write_json
from api_cli.scoring.metrics.letter import read_options


class Kit(NamedTuple):
    """A dataset there: its official name, which is part of ours, and the class that scores it."""

    name: str
    scorer: str


KITS = {
    "mmvet": Kit("MMVet", "MMVet"),
    "LLaVA_Wild": Kit("LLaVABench", "LLaVABench"),
    "textVQA": Kit("TextVQA_VAL", "ImageVQADataset"),
    "MMMU": Kit("MMMU_DEV_VAL", "MMMUDataset"),
    "MME": Kit("MME", "ImageYORNDataset"),
    "POPE": Kit("POPE", "ImageYORNDataset"),
    "vstar": Kit("VStarBench", "ImageMCQDataset"),
    "HR-Bench-4K": Kit("HRBench4K", "HRBenchDataset"),
    "HR-Bench-8K": Kit("HRBench8K", "HRBenchDataset"),
    "MME-RealWorld-Lite": Kit("MME-RealWorld-Lite", "MMERealWorld"),
    "DocVQA": Kit("DocVQA_VAL", "ImageVQADataset"),
    "InfoVQA": Kit("InfoVQA_VAL", "ImageVQADataset"),
    "GQA": Kit("GQA_TestDev_Balanced", "ImageVQADataset"),
    "A-OKVQA": Kit("A-OKVQA", "ImageMCQDataset"),
}
_CUSTOM = Kit("apiprompt", "CustomVQADataset")
_COLUMNS = ("category", "question_id", "capability", "caption", "l2-category", "cycle_category")


def vlmevalkit(run: Run, folder: Path) -> list[Path]:
    """`NAME.tsv` and `NAME.json`: put the first below `$LMUData`, pass the second as `--config`."""
    kit = KITS.get(run.dataset, _CUSTOM)
    name = f"{kit.name}_{re.sub(r'[^A-Za-z0-9]+', '_', folder.name)}"
    rows = [_fields(row) for row in run.rows]
    names = list(dict.fromkeys(field for row in rows for field in row))
    table = folder / f"{name}.tsv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, ["index", "image", "image_path", *names], delimiter="\t", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(_lines(run, rows))
    config = folder / f"{name}.json"
    write_json(config, {"data": {name: {"class": kit.scorer, "dataset": name}}})
    return [table, config]


def _lines(run: Run, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows with their pictures, one at a time."""
    for number, (row, fields) in enumerate(zip(run.rows, rows, strict=True)):
        pictures = [*run.pictures(row).values()]
        texts = [base64.b64encode(path.read_bytes()).decode("ascii") for path in pictures]
        # MME pairs its questions by the picture's path
        shared = str(row.get("question_id", "")).rpartition("/")[2]
        first = f"{row.get('category')}/{shared}" if shared else pictures[0].name
        paths = [first, *(path.name for path in pictures[1:])]
        yield {"index": number, "image": _one_or_list(texts), "image_path": _one_or_list(paths)} | (
            fields
        )


def _one_or_list(texts: list[str]) -> str:
    """One text as it is; several as the list that VLMEvalKit takes for several pictures."""
    return texts[0] if len(texts) == 1 else repr(texts)


def _fields(row: Row) -> dict[str, Any]:
    """The columns that VLMEvalKit's sets have."""
    known = facts(row)
    fields = {"question": str(row["question"])}
    answer = known.get("answer", known.get("label", known.get("answers")))
    if answer is None and isinstance(known.get("correct_choice_idx"), int):
        answer = string.ascii_uppercase[known["correct_choice_idx"]]
    fields["answer"] = _text(answer)
    options = known.get("options")
    if isinstance(options, str) and options.startswith("["):  # MMMU's, Python's text of a list
        known["options"] = ast.literal_eval(options)
    fields |= {at: text for at, text in read_options(known).items() if text}
    if "gpt_answer" in known:
        fields["gpt4_ans"] = str(known["gpt_answer"])
    fields |= {name: _text(known[name]) for name in _COLUMNS if known.get(name) is not None}
    if "capability" in fields:  # there it is the category
        fields["category"] = fields.pop("capability")
    return fields


def _text(value: Any) -> str:
    """A value as those tables have it; a list of names with commas, other lists as JSON."""
    value = unfold(value)
    if isinstance(value, list):
        plain = all(isinstance(one, str) and "," not in one for one in value)
        return ",".join(value) if plain and len(set(value)) == len(value) else json.dumps(value)
    return "" if value is None else str(value)
