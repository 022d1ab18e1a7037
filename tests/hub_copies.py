"""Small copies of the hub's repositories: parquet with their columns, which `datasets` loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet

from datasets_manager.mmmu import SUBJECTS
from tests.layouts import mmmu_table


def write_repository(
    folder: Path, split: str, rows: Sequence[dict[str, Any]], pictures: Sequence[bytes | None]
) -> Path:
    """A repository of one split; a row's picture is in its column `image`."""
    (folder / "data").mkdir(parents=True)
    table = datasets.Dataset.from_list(
        [
            row | {"image": {"bytes": picture, "path": None}}
            for row, picture in zip(rows, pictures, strict=True)
        ]
    ).cast_column("image", datasets.Image())
    table.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


def write_mm_vet(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {
            "question_id": f"v1_{n}",
            "question": question,
            "answer": "7<AND>seven<OR>VII",
            "image_source": "https://example.org",
            "capability": "ocr,math",
        }
        for n, question in enumerate(["What is x in the equation?", "Who is this?"])
    ]
    return write_repository(folder, "test", rows, pictures)


def write_llava_wild(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {
            "question_id": n,
            "question": question,
            "gpt_answer": "A cat.",
            "category": "conv",
            "caption": "A cat looks at you.",
            "image_id": "001.jpg",
        }
        for n, question in enumerate(["Which breed?", "Which mood?"])
    ]
    return write_repository(folder, "train", rows, pictures)


def write_text_vqa(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {
            "image_id": "003a8ae2ef43b901",
            "question_id": 34602 + n,
            "question": question,
            "question_tokens": question.split(),
            "answers": ["nous les gosses"] * 10,
            "set_name": "val",
        }
        for n, question in enumerate(["what brand is this?", "what year is it?"])
    ]
    return write_repository(folder, "validation", rows, pictures)


def write_viz_wiz(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {
            "question_id": f"VizWiz_val_0000000{n}.jpg",
            "question": question,
            "answers": ["unanswerable"] * 10,
            "category": "unanswerable",
        }
        for n, question in enumerate(["Ok. There is another picture.", "What is this?"])
    ]
    return write_repository(folder, "val", rows, pictures)


def write_mme(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {
            "question_id": "code_reasoning/0020.png",
            "question": f"Is it {thing}? Please answer yes or no.",
            "answer": answer,
            "category": "code_reasoning",
        }
        for thing, answer in [("4", "Yes"), ("5", "No")]
    ]
    return write_repository(folder, "test", rows, pictures)


def write_pope(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {
            "id": str(n),
            "question_id": "1",
            "question": "Is there a snowboard in the image?",
            "answer": "yes",
            "image_source": "COCO_val2014_000000310196",
            "category": category,
        }
        for n, category in enumerate(["adversarial", "popular"])
    ]
    return write_repository(folder, "test", rows, pictures)


def write_mmmu(folder: Path, photographs: dict[str, Path]) -> Path:
    """A configuration a subject, which the repository's card lists."""
    lines = ["---", "configs:"]
    for subject in SUBJECTS:
        path = folder / subject / "validation-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        table = mmmu_table(subject, photographs)
        kinds = {
            name: datasets.Image() if name.startswith("image_") else datasets.Value("string")
            for name in table.column_names
        }
        schema = datasets.Features(kinds).arrow_schema
        pyarrow.parquet.write_table(table.cast(schema), path)
        lines += [f"- config_name: {subject}", "  data_files:", "  - split: validation"]
        lines += [f"    path: {subject}/validation-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
    return folder
