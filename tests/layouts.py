"""Small copies of datasets in their authors' layouts: the same files, fields and oddities."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from datasets_manager.mme import SUBTASKS
from datasets_manager.mmmu import IMAGES, SUBJECTS
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
    captions = [{"id": "001", "image": "001.jpg", "caption": "A cat looks at you."}]
    write_json_lines(folder / "context.jsonl", captions)
    answers = [{"question_id": n, "text": "A cat.", "model_id": "gpt-4"} for n in (1, 0)]
    write_json_lines(folder / "answers_gpt4.jsonl", answers)


def write_text_vqa(folder: Path, photographs: dict[str, Path]) -> None:
    """`TextVQA_0.5.1_val.json`, samples under `data` beside facts on the file, and images."""
    images = folder / "train_images"
    images.mkdir(parents=True)
    shutil.copy(photographs["wide"], images / "003a8ae2ef43b901.jpg")
    rows = [
        {
            "question": question,
            "image_id": "003a8ae2ef43b901",
            "image_classes": ["Cat", "Mammal"],
            "flickr_original_url": "https://farm2.staticflickr.com/5067/5620759429_o.jpg",
            "image_width": 350,
            "image_height": 211,
            "answers": ["nous les gosses"] * 9 + ["dakota"],
            "question_id": 34602 + n,
            "set_name": "val",
        }
        for n, question in enumerate(["what is the brand of this camera?", "what year is it?"])
    ]
    content = {"dataset_type": "val", "dataset_name": "textvqa", "data": rows}
    (folder / "TextVQA_0.5.1_val.json").write_text(json.dumps(content))


def write_viz_wiz(folder: Path, photographs: dict[str, Path]) -> None:
    """`val.json`, a list, and `val/`."""
    images = folder / "val"
    images.mkdir(parents=True)
    shutil.copy(photographs["rotated"], images / "VizWiz_val_00000000.jpg")
    shutil.copy(photographs["wide"], images / "VizWiz_val_00000001.jpg")
    rows = [
        {
            "image": f"VizWiz_val_0000000{n}.jpg",
            "question": question,
            "answers": [{"answer_confidence": "yes", "answer": answer}] * 10,
            "answer_type": kind,
            "answerable": int(kind != "unanswerable"),
        }
        for n, (question, answer, kind) in enumerate(
            [
                ("Ok. There is another picture I hope it is a better one.", "unanswerable",
                 "unanswerable"),
                ("Can you tell me what this medicine is please?", "night time", "other"),
            ]
        )
    ]  # fmt: skip
    (folder / "val.json").write_text(json.dumps(rows))


def write_pope(folder: Path, photographs: dict[str, Path]) -> None:
    """`coco_pope_{part}.json`, which are JSON lines and each count from 1, and `val2014/`."""
    images = folder / "val2014"
    images.mkdir(parents=True)
    shutil.copy(photographs["wide"], images / "COCO_val2014_000000310196.jpg")
    things = {"random": "car", "popular": "dining table", "adversarial": "backpack"}
    for part, thing in things.items():
        rows = [
            {
                "question_id": n,
                "image": "COCO_val2014_000000310196.jpg",
                "text": f"Is there a {name} in the image?",
                "label": label,
            }
            for n, (name, label) in enumerate([("snowboard", "yes"), (thing, "no")], start=1)
        ]
        write_json_lines(folder / f"coco_pope_{part}.json", rows)


def write_long_pope(folder: Path, pictures: Sequence[Path], questions: int = 6) -> None:
    """POPE's three files over the same pictures, with neighbouring questions about each."""
    images = folder / "val2014"
    images.mkdir(parents=True)
    for picture in pictures:
        shutil.copy(picture, images)
    for part in ("random", "popular", "adversarial"):
        rows = [
            {
                "question_id": n * questions + m + 1,
                "image": picture.name,
                "text": f"Is there a {part} thing {m} in the image?",
                "label": "no",
            }
            for n, picture in enumerate(pictures)
            for m in range(questions)
        ]
        write_json_lines(folder / f"coco_pope_{part}.json", rows)


MME_TWO_FOLDERS = ("posters", "celebrity", "scene", "landmark", "artwork")


def write_mme(folder: Path, photographs: dict[str, Path]) -> None:
    """14 subtasks in two shapes; lines may end in tabs, blanks, CRLF and an empty line."""
    for subtask in SUBTASKS:
        two = subtask in MME_TWO_FOLDERS
        images = folder / subtask / "images" if two else folder / subtask
        texts = folder / subtask / "questions_answers_YN" if two else folder / subtask
        images.mkdir(parents=True)
        texts.mkdir(parents=True, exist_ok=True)
        picture = photographs["square" if subtask == "code_reasoning" else "wide"]
        for stem in ("0001", "0020"):
            shutil.copy(picture, images / f"{stem}{picture.suffix}")
            content = (
                f"Is this {subtask} of {stem}? Please answer yes or no.\tYes\n"
                f"Is this not {subtask}? Please answer yes or no.\tNo"
            )
            ending = {"existence": " \t \r\n\n", "color": "  ", "scene": "\n"}.get(subtask, "")
            (texts / f"{stem}.txt").write_bytes(content.encode() + ending.encode())


def write_mmmu(folder: Path, photographs: dict[str, Path]) -> None:
    """A folder a subject with the hub's parquet: pictures as structs, options as text."""
    for subject in SUBJECTS:
        path = folder / subject / "validation-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        pyarrow.parquet.write_table(mmmu_table(subject, photographs), path)


def write_vstar(folder: Path, photographs: dict[str, Path], *, ordered: bool = True) -> None:
    """A folder a category with a JSON file beside each picture, and the order of the options."""
    samples: dict[str, dict[str, Any]] = {
        "direct_attributes/sa_4690.jpg": {
            "target_object": ["glove"],
            "bbox": [[64, 42, 155, 57]],
            "question": "What is the material of the glove?",
            "options": ["rubber", "cotton (white)", "kevlar", "leather"],
        },
        "relative_position/sa_10033.jpg": {
            "target_object": ["dog", "car"],
            "bbox": [[10, 20, 30, 40], [100, 20, 50, 40]],
            "question": "Is the dog on the left or right side of the car?",
            "options": ["left", "right"],
        },
    }
    rows = []
    orders = (("rubber", "cotton (white)", "kevlar", "leather"), ("right", "left"))
    for n, ((name, annotation), order) in enumerate(zip(samples.items(), orders, strict=True)):
        path = folder / name
        path.parent.mkdir(parents=True)
        shutil.copy(photographs["wide"], path)
        path.with_suffix(".json").write_text(json.dumps(annotation))
        lines = "".join(f"\n({letter}) {o}" for letter, o in zip("ABCD", order, strict=False))
        rows.append(
            {
                "image": name,
                "text": f"{annotation['question']}{lines}\n"
                "Answer with the option's letter from the given choices directly.",
                "category": path.parent.name,
                "label": "ABCD"[order.index(annotation["options"][0])],
                "question_id": str(115 * n),
            }
        )
    if ordered:
        write_json_lines(folder / "test_questions.jsonl", rows)


def mmmu_table(subject: str, photographs: dict[str, Path]) -> pyarrow.Table:
    """One question about one image; in the first subject also one about two, and an open one."""
    rows = [
        ("<image 1> Which is it?", "['$6', '$7', \"the owner's\"]", "B", ("square",)),
        (
            "Compare <image 1> with <image 2>.",
            "['<image 1>', '<image 2>']",
            "A",
            ("wide", "tall"),
        ),
        ("How many?<image 1>", "[]", "8", ("grey",)),
    ]
    table = []
    for n, (question, options, answer, names) in enumerate(rows, start=1):
        pictures = {
            f"image_{k}": {"bytes": photographs[name].read_bytes(), "path": f"{name}_{k}.png"}
            for k, name in enumerate(names, start=1)
        }
        table.append(
            {
                "id": f"validation_{subject}_{n}",
                "question": question,
                "options": options,
                "explanation": "",
                **{f"image_{k}": pictures.get(f"image_{k}") for k in range(1, 8)},
                "img_type": "['Tables']",
                "answer": answer,
                "topic_difficulty": "Medium",
                "question_type": "open" if options == "[]" else "multiple-choice",
                "subfield": "Managerial Accounting",
            }
        )
    wanted = len(rows) if subject == SUBJECTS[0] else 1
    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    kinds = {name: picture if name in IMAGES else pyarrow.string() for name in table[0]}
    return pyarrow.Table.from_pylist(table[:wanted], schema=pyarrow.schema(kinds.items()))
