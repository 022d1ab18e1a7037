"""V*: small things in large photographs, questions with lettered options, and boxes of the things.

On disk in the authors' layout: a folder each for the two kinds of question, with a JSON file beside
each picture, and `test_questions.jsonl`, which orders the options.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from datasets_manager import prompts
from datasets_manager.base import DatasetError, Note, Sample, read_json
from datasets_manager.hub import load_copy
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import Listed, register
from datasets_manager.rows import Row, check_columns_of, read_json_lines
from datasets_manager.tables import Columns, Table, check_columns, origin_of, read_picture, rows_of

CATEGORIES = ("direct_attributes", "relative_position")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_OPTION = re.compile(r"\s*\(([A-Z])\)\s+")  # "(A) red", on a line of its own or not
_ORDER = "test_questions.jsonl"
_OBTAIN = "get the hub's craigwu/vstar_bench"


def from_tables(
    tables: Sequence[Table], columns: Columns, options: DatasetOptions
) -> Iterator[Sample | Note]:
    """Samples of the hub's copy, whose `text` holds question, options and what is wished for."""
    [table] = tables
    check_columns(table, [columns.image, columns.question, *columns.key, columns.query])
    for index, row in enumerate(rows_of(table, table.plain)):
        image = partial(read_picture, table, index, columns.image)
        hint = row.hint(columns.query) if columns.query else None
        origin = origin_of(table, index, columns.image)
        yield replace(_sample(index, row, image), hint=hint, origin=origin)


@register(
    "vstar",
    about="V*: 191 questions about small things in large photographs, with their boxes",
    home="https://github.com/penghao-wu/vstar",
    licence="see its page; images (SA-1B) under their own terms",
    aliases=("V*", "vstar_bench"),
    folder="vstar",
    takes=("split",),
    from_tables=from_tables,
    metric="letter",
)
def load(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `vstar/`: the authors' layout, or a copy of the hub's lmms-lab/vstar-bench.

    The authors': `direct_attributes/` and `relative_position/` with `NAME.jpg` and `NAME.json`.
    Boxes are in `target_bbox`, a list of [x0, y0, x1, y1] in pixels for the things in
    `target_object`; `bbox` has them as in the file. Options are lettered, and keys are, as in
    `test_questions.jsonl` (which is the hub's copy); without it keys are `{category}_{NAME}`, and
    the options, the first of which is the right one, are rotated by the key's digest.
    """
    folder = root / "vstar"
    if not any((folder / category).is_dir() for category in CATEGORIES):
        return load_copy(folder, "vstar", from_tables, options)
    if options.split is not None:
        raise DatasetError(f"{folder} is in the authors' layout, which has no splits")
    return _in_the_authors_layout(folder)


def _in_the_authors_layout(folder: Path) -> Iterator[Sample]:
    order = folder / _ORDER
    if order.exists():
        rows = list(read_json_lines(order, _OBTAIN))
        check_columns_of(rows, ("image", "text", "question_id"), str(order))
    else:
        rows = [_without_order(image) for image in _pictures(folder)]
    for index, row in enumerate(rows):
        image = row.file(folder, "image")
        yield _sample(index, row, image, boxes=_boxes(image.with_suffix(".json"), row))


def _pictures(folder: Path) -> Iterator[Path]:
    for category in CATEGORIES:
        images = sorted(p for p in (folder / category).glob("*") if p.suffix.lower() in _SUFFIXES)
        if not images:
            raise DatasetError(f"no pictures in {folder / category}; {_OBTAIN}")
        yield from images


def _without_order(image: Path) -> Row:
    """A row as those of `test_questions.jsonl`, made from the file beside the picture."""
    category = image.parent.name
    key = f"{category}_{image.stem}"
    path = image.with_suffix(".json")
    annotation = _annotation(path)
    question, options = annotation.text("question"), annotation.get("options")
    if not isinstance(options, list) or not options:
        annotation.blame("no list of 'options'")
        options = []
    turn = int(sha256(key.encode()).hexdigest(), 16) % max(1, len(options))
    turned = zip(string.ascii_uppercase, options[-turn:] + options[:-turn], strict=False)
    fields = {
        "image": f"{category}/{image.name}",
        "text": "".join([question, *(f"\n({letter}) {o}" for letter, o in turned)])
        + prompts.LETTER,
        "category": category,
        "label": string.ascii_uppercase[turn],
        "question_id": key,
    }
    fault = annotation.fault and annotation.fault.removeprefix(f"{path}: ")
    return Row(fields, str(path), fault)


def _sample(
    index: int,
    row: Row,
    image: Path | Callable[[], bytes],
    *,
    boxes: Mapping[str, Any] = MappingProxyType({}),
) -> Sample:
    """The question alone, without the options that `text` has after it: they are the prompt."""
    key, text, fields = row.key("question_id"), row.text("text"), row.others("image")
    question, *options = _OPTION.split(text.removesuffix(prompts.LETTER))
    prompt = text[len(question) :]
    if not prompt.endswith(prompts.LETTER):
        prompt += prompts.LETTER
    return Sample(
        key=key,
        index=index,
        image=image,
        question=question,
        extra={**fields, **boxes, "options": options[1::2], "prompt": prompt},
        fault=row.fault,
    )


def _boxes(path: Path, row: Row) -> dict[str, Any]:
    """What was asked about, and where it is; empty where the file beside the picture is missing."""
    if not path.exists():
        return {"target_object": [], "bbox": [], "target_bbox": []}
    annotation = _annotation(path)
    boxes = annotation.get("bbox") or []
    try:
        corners = [[x, y, x + width, y + height] for x, y, width, height in boxes]
    except (TypeError, ValueError):
        annotation.blame("expected 'bbox' as a list of [x, y, width, height]")
        corners = []
    if annotation.fault is not None:
        row.blame(annotation.fault)
    named = annotation.get("target_object") or []
    return {"target_object": named, "bbox": boxes, "target_bbox": corners}


def _annotation(path: Path) -> Row:
    """What the file beside a picture says."""
    try:
        return Row(read_json(path, _OBTAIN), str(path))
    except DatasetError as error:
        return Row({}, str(path), str(error))
