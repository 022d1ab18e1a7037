"""Small copies of datasets in their authors' layouts: the same files, fields and oddities."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.conftest import write_json_lines


def write_mm_vet(folder: Path, photographs: dict[str, Path]) -> None:
    """`mm-vet.json`, an object of samples, and `images/`."""
    images = folder / "images"
    images.mkdir(parents=True)
    shutil.copy(photographs["wide"], images / "v1_0.jpg")
    shutil.copy(photographs["square"], images / "v1_1.png")
    annotations = {
        "v1_0": {
            "imagename": "v1_0.jpg",
            "question": "What is x in the equation?",
            "answer": "7<AND>seven<OR>VII",
            "capability": ["ocr", "math"],
        },
        "v1_1": {
            "imagename": "v1_1.png",
            "question": "Who is this, and what is on the suit?",
            "answer": "an astronaut",
            "capability": ["rec", "know"],
        },
    }
    (folder / "mm-vet.json").write_text(json.dumps(annotations, indent=4))


def write_llava_wild(folder: Path, photographs: dict[str, Path]) -> None:
    """`questions.jsonl` and `images/`; several questions share an image."""
    images = folder / "images"
    images.mkdir(parents=True)
    shutil.copy(photographs["wide"], images / "001.jpg")
    rows = [
        {
            "question_id": 0,
            "image": "001.jpg",
            "text": "What is the name of this animal's breed?",
            "category": "conv",
        },
        {
            "question_id": 1,
            "image": "001.jpg",
            "text": "Describe this photo in detail, and \u2028 the mood.",
            "category": "complex",
        },
    ]
    write_json_lines(folder / "questions.jsonl", rows)
