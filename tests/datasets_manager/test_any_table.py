"""Whatever a table holds: samples, faults, or one message; nothing else, and nothing outside."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_manager import Dataset, DatasetError, DatasetOptions, get_dataset

# by hand: HYPOTHESIS_EXAMPLES=5000 python -m pytest tests/datasets_manager/test_any_table.py
settings.register_profile(
    "tables",
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "60")),
    deadline=None,
    database=None,
)
TABLES = settings.get_profile("tables")

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "a.png", "../a", "/a", "\0", "<image>", "what?", "\ud800", "3", "key"]
    ),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda some: st.one_of(
        st.lists(some, max_size=3),
        st.dictionaries(st.sampled_from(["from", "value", "role", "content", "text"]), some),
    ),
    max_leaves=6,
)
COLUMNS = st.sampled_from(
    ["file_name", "question", "key", "hint", "index", "prompt", "", "ü", "a.b"]
)
ROWS = st.lists(st.dictionaries(COLUMNS, VALUES, max_size=6), max_size=5)
GOOD = {"file_name": "a.png", "question": "what?"}
OPTIONS = st.builds(
    DatasetOptions,
    question=st.none() | TEXTS,
    question_column=st.none() | COLUMNS,
    key_column=st.none() | COLUMNS,
    query_column=st.none() | COLUMNS,
)


def check(name: str, content: bytes, options: DatasetOptions) -> None:
    """Open an image folder with such a table, and look at all that it gives."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / name).write_bytes(content)
        try:
            samples = get_dataset("imagefolder", root, options)
        except DatasetError:
            return
        look_at(samples, root)


def look_at(samples: Dataset, root: Path) -> None:
    keys = [sample.key for sample in samples]
    assert len(set(keys)) == len(keys)
    for index, sample in enumerate(samples):
        assert sample.index == index
        assert isinstance(sample.key, str)
        assert sample.key
        assert isinstance(sample.question, str)
        assert isinstance(sample.hint, str | None)
        if sample.fault is not None:
            assert sample.fault
            continue
        assert sample.query.strip()
        assert "<image>" not in sample.query
        json.dumps(dict(sample.extra))
        assert isinstance(sample.image, Path)
        assert root.resolve() in (root / sample.image).resolve().parents
        with pytest.raises(OSError, match=r"No such file|Is a directory|too long|Not a directory"):
            sample.read_image()


@settings(TABLES)
@given(ROWS, OPTIONS, st.binary(max_size=30), st.booleans())
def test_any_json_lines(rows: list[Any], options: DatasetOptions, line: bytes, good: bool) -> None:
    lines = [json.dumps(row).encode() for row in [*rows, *([GOOD] if good else [])]]
    check("metadata.jsonl", b"\n".join([*lines, line]), options)


@settings(TABLES)
@given(st.lists(COLUMNS, max_size=5), st.lists(st.lists(TEXTS, max_size=6), max_size=5), OPTIONS)
def test_any_csv(names: list[str], rows: list[list[str]], options: DatasetOptions) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["file_name", "question", *names], *rows])
    check("metadata.csv", text.getvalue().encode("utf-8", "surrogatepass"), options)


@settings(TABLES)
@given(st.sampled_from(["metadata.jsonl", "metadata.csv", "metadata.parquet"]),
       st.binary(max_size=80), st.booleans(), OPTIONS)  # fmt: skip
def test_any_bytes(name: str, content: bytes, good: bool, options: DatasetOptions) -> None:
    head = {"metadata.jsonl": json.dumps(GOOD).encode() + b"\n", "metadata.csv": b"file_name,key\n"}
    check(name, (head.get(name, b"PAR1") if good else b"") + content, options)


SETS: dict[str, Callable[[Any], bytes]] = {
    "mm-vet/mm-vet.json": lambda rows: json.dumps({str(n): r for n, r in enumerate(rows)}).encode(),
    "TextVQA/TextVQA_0.5.1_val.json": lambda rows: json.dumps({"data": rows}).encode(),
    "VisWiz/val.json": lambda rows: json.dumps(rows).encode(),
    "POPE/coco_pope_random.json": lambda rows: b"\n".join(json.dumps(r).encode() for r in rows),
}
NAMES = ("mmvet", "textVQA", "VisWiz", "POPE")
SET_ROWS = st.lists(
    st.one_of(
        VALUES,
        st.dictionaries(
            st.sampled_from(["image", "imagename", "image_id", "question", "question_id", "text"]),
            VALUES,
        ),
    ),
    max_size=5,
)


@settings(TABLES)
@given(st.sampled_from(range(len(NAMES))), SET_ROWS)
def test_any_rows_of_a_named_set(number: int, rows: list[Any]) -> None:
    path, write = list(SETS.items())[number]
    options = DatasetOptions(source="disk", split="random" if NAMES[number] == "POPE" else None)
    with TemporaryDirectory() as folder:
        (Path(folder) / path).parent.mkdir(parents=True)
        (Path(folder) / path).write_bytes(write(rows))
        try:
            samples = get_dataset(NAMES[number], folder, options)
        except DatasetError:
            return
        look_at(samples, Path(folder))
