"""Small copies of the hub's repositories: parquet with their columns, which `datasets` loads."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
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


def write_card(folder: Path, files: Mapping[str, Mapping[str, str]]) -> None:
    """The repository's README.md, which says what files a configuration's splits are of."""
    lines = ["---", "configs:"]
    for config, splits in files.items():
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]))


def write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """A parquet file; what is bytes becomes a column of pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    held = {name for name, value in rows[0].items() if isinstance(value, bytes)}
    table = datasets.Dataset.from_list(
        [
            {k: {"bytes": v, "path": None} if k in held else v for k, v in row.items()}
            for row in rows
        ]
    )
    for name in held:
        table = table.cast_column(name, datasets.Image())
    table.to_parquet(path)


VSTAR_TEXT = (
    "What is the material of the glove?\n(A) rubber\n(B) cotton (white)\n(C) kevlar\n(D) leather"
    "\nAnswer with the option's letter from the given choices directly."
)


def write_vstar(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {"text": VSTAR_TEXT, "category": "direct_attributes", "label": "A", "question_id": "0"},
        {
            "text": "Is the dog on the left or right side of the car?\n(A) right\n(B) left"
            "\nAnswer with the option's letter from the given choices directly.",
            "category": "relative_position",
            "label": "B",
            "question_id": "115",
        },
    ]
    return write_repository(folder, "test", rows, pictures)


def write_hr_bench(folder: Path, pictures: Sequence[bytes]) -> Path:
    """Pictures as base64 in text; a split a file, of one configuration."""
    for split in ("4k", "8k"):
        rows = [
            {
                "index": n,
                "question": f"What is the name of shop {n} of {split}?",
                "answer": "B",
                "category": "single",
                "A": "CAFE",
                "B": "BAR",
                "C": "INN",
                "D": "SPA",
                "cycle_category": "0",
                "image": base64.b64encode(picture).decode(),
            }
            for n, picture in enumerate(pictures)
        ]
        write_table(folder / f"hr_bench_{split}.parquet", rows)
    splits = {f"hrbench_{split}": f"hr_bench_{split}.parquet" for split in ("4k", "8k")}
    write_card(folder, {"hrbench_version_split": splits})
    return folder


def write_mme_real_world(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {
            "index": f"perception/autonomous_driving/{n}",
            "bytes": base64.b64encode(picture).decode(),
            "question": f"How many cars are in lane {n}?",
            "multi-choice options": ["(A) 1", "(B) 2", "(C) 3", "(D) 4", "(E) cannot be said"],
            "answer": "C",
            "category": "Perception/Autonomous_Driving",
            "l2-category": "Object_count",
        }
        for n, picture in enumerate(pictures)
    ]
    write_table(folder / "data" / "train-00000-of-00001.parquet", rows)
    return folder


def write_doc_vqa(folder: Path, pictures: Sequence[bytes]) -> Path:
    """Two configurations, of documents and of infographics."""
    files = {}
    for config in ("DocVQA", "InfographicVQA"):
        rows: list[dict[str, Any]] = [
            {
                "questionId": str(49153 + n),
                "question": f"What is the 'actual' value of {n}?",
                "image": picture,
                "answers": ["0.28", ".28"],
                "data_split": "val",
            }
            for n, picture in enumerate(pictures)
        ]
        for row in rows:
            own = {"docId": 14465, "question_types": ["figure/diagram"]}
            row |= own if config == "DocVQA" else {"ocr": "[words]", "answer_type": ["single span"]}
        path = f"{config}/validation-00000-of-00001.parquet"
        write_table(folder / path, rows)
        files[config] = {"validation": path}
    write_card(folder, files)
    return folder


def write_gqa(folder: Path, pictures: Sequence[bytes]) -> Path:
    """Questions and pictures in configurations of their own; several questions share a picture."""
    images = [{"id": f"n{n}", "image": picture} for n, picture in enumerate(pictures)]
    questions = [
        {
            "id": f"20160{n}",
            "imageId": image,
            "question": question,
            "answer": "yes",
            "fullAnswer": "Yes, it is.",
            "types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"},
        }
        for n, (image, question) in enumerate(
            [("n1", "Is it blue?"), ("n0", "Is it red?"), ("n1", "Is it on the left?")]
        )
    ]
    files = {}
    tables: dict[str, list[dict[str, Any]]] = {"instructions": questions, "images": images}
    for kind, rows in tables.items():
        config = f"testdev_balanced_{kind}"
        path = f"{config}/testdev-00000-of-00001.parquet"
        write_table(folder / path, rows)
        files[config] = {"testdev": path}
    write_card(folder, files)
    return folder


def write_a_okvqa(folder: Path, pictures: Sequence[bytes]) -> Path:
    rows = [
        {
            "image": picture,
            "question_id": f"22MexNkBPpdZGX6sxbxVB{n}",
            "question": "What is in the motorcyclist's mouth?",
            "choices": ["toothpick", "food", "popsicle stick", "cigarette"],
            "correct_choice_idx": 3,
            "direct_answers": "['cigarette', 'cigarette', 'toothpick']",
            "difficult_direct_answer": False,
            "rationales": ["He's smoking while riding."],
        }
        for n, picture in enumerate(pictures)
    ]
    write_table(folder / "data" / "validation-00000-of-00001.parquet", rows)
    return folder


def write_mmmu(folder: Path, photographs: dict[str, Path]) -> Path:
    """A configuration a subject, which the repository's card lists."""
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
    write_card(folder, {name: {"validation": f"{name}/validation-*"} for name in SUBJECTS})
    return folder
