"""Folders of answers as `apiprompt ask` leaves them, of datasets in their authors' layouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from datasets_manager import Sample
from tests.conftest import write_json_lines

MODEL = "some/model"
PROMPT = {"text": "{question}{prompt}", "system": "", "suffix": None, "images": ["masked"]}
SETTINGS = {
    "backend": "server", "model": MODEL, "max_tokens": 128, "temperature": 0, "prompt": PROMPT,
    "image_format": "as-is", "max_side": None,
}  # fmt: skip


def rows_of(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Rows of a run's manifest, but for its pictures."""
    return [
        {
            "key": sample.key,
            "index": sample.index,
            "question": sample.question,
            **sample.extra,
            "image_sha256": f"{sample.index // 2:064x}",  # two questions a picture
        }
        for sample in samples
    ]


def write_answers(
    run: Path,
    rows: Iterable[Mapping[str, Any]],
    answers: Mapping[str, str],
    *,
    dataset: str = "",
    name: str = "some_model-01234567",
    settings: Mapping[str, Any] = SETTINGS,
    about: Mapping[str, Any] | None = None,
    size: tuple[int, int] = (400, 250),
    **answer: Any,
) -> Path:
    """Write the folder of the answers about a run's pictures, or about originals.

    Args:
        run: the run folder, or that of originals.
        rows: of the questions that were asked.
        answers: by key; who has none is missing.
        dataset: its name.
        name: of the folder.
        settings: all that shapes an answer.
        about: what else is known of the pictures.
        size: of the pictures that were sent.
        answer: fields that each answer's row shall have instead of the usual ones.
    """
    rows = list(rows)
    folder = run / "answers" / name
    folder.mkdir(parents=True)
    write_json_lines(folder / "questions.jsonl", rows)
    write_json_lines(
        folder / "answers.jsonl",
        [
            {
                "key": row["key"],
                "sent": [
                    {
                        "file_name": f"{row['key']}.jpg",
                        "sha256": "0" * 64,
                        "width": size[0],
                        "height": size[1],
                    }
                ],
                "text": f"{row['question']}{row.get('prompt', '')}",
                "answer": answers[row["key"]],
                "finish_reason": "stop",
                "model": MODEL,
                **answer,
            }
            for row in rows
            if row["key"] in answers
        ],
    )
    of = {"pictures": "masked", "dataset": dataset, "format": "jpg", "quality": 95, **(about or {})}
    record = {"settings": dict(settings), "digest": "01234567", "prompt": "plain", "about": of}
    (folder / "ask.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    return folder
