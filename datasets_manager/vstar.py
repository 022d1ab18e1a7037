"""V*: small things in large photographs, questions with lettered options, and boxes of the things.

On disk in the authors' layout: a folder each for the two kinds of question, with a JSON file beside
each picture, and `test_questions.jsonl`, which orders the options.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from datasets_manager import prompts
from datasets_manager.base import DatasetError, Sample, read_json, read_json_lines, required
from datasets_manager.hub import load_copy
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register
from datasets_manager.tables import Columns, Table, check_columns, hint_of, plain, read_picture

CATEGORIES = ("direct_attributes", "relative_position")
_SUFFIXES = (".jpg", ".jpeg", ".png")
_OPTION = re.compile(r"\s*\(([A-Z])\)\s+")  # "(A) red", on a line of its own or not
_ORDER = "test_questions.jsonl"
_OBTAIN = "get the hub's craigwu/vstar_bench"


def from_tables(
    tables: Sequence[Table], columns: Columns, options: DatasetOptions
) -> Iterator[Sample]:
    """Samples of the hub's copy, whose `text` holds question, options and what is wished for."""
    [table] = tables
    check_columns(table, [columns.image, columns.question, *columns.key, columns.query])
    rows = table.read([name for name in table.names if name not in table.pictures])
    for index, row in enumerate(rows):
        place = f"{table.place}, row {index}"
        extra = plain(row)
        yield _sample(index, partial(read_picture, table, index, columns.image), extra, place,
                      hint_of(extra, columns.query) if columns.query else None)  # fmt: skip


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
def load(root: Path, options: DatasetOptions) -> Iterable[Sample]:
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
    rows = read_json_lines(order, _OBTAIN) if order.exists() else _without_order(folder)
    for index, row in enumerate(rows):
        place = f"{order if order.exists() else folder}, sample {index}"
        name = str(required(row, "image", place))
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise DatasetError(f"{place}: image {name!r} leads out of the folder")
        image = folder / name
        boxes = _boxes(image.with_suffix(".json"))
        extra = {k: v for k, v in row.items() if k != "image"} | boxes
        yield _sample(index, image, extra, place)


def _without_order(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows as those of `test_questions.jsonl`, made from the files beside the pictures."""
    for category in CATEGORIES:
        images = sorted(p for p in (folder / category).glob("*") if p.suffix.lower() in _SUFFIXES)
        if not images:
            raise DatasetError(f"no pictures in {folder / category}; {_OBTAIN}")
        for image in images:
            path = image.with_suffix(".json")
            annotation = _annotation(path)
            key = f"{category}_{image.stem}"
            options = [str(option) for option in required(annotation, "options", str(path))]
            turn = int(sha256(key.encode()).hexdigest(), 16) % max(1, len(options))
            turned = options[-turn:] + options[:-turn] if turn else options
            lines = [f"({letter}) {option}" for letter, option in _lettered(turned)]
            yield {
                "image": f"{category}/{image.name}",
                "text": "\n".join([str(required(annotation, "question", str(path))), *lines])
                + prompts.LETTER,
                "category": category,
                "label": string.ascii_uppercase[turn],
                "question_id": key,
            }


def _sample(
    index: int, image: Any, extra: Mapping[str, Any], place: str, hint: str | None = None
) -> Sample:
    """The question alone, without the options that `text` has after it: they are the prompt."""
    text = str(extra.get("text") or "")
    question, *options = _OPTION.split(text.removesuffix(prompts.LETTER))
    prompt = text[len(question) :]
    if not prompt.endswith(prompts.LETTER):
        prompt += prompts.LETTER
    return Sample(
        key=str(required(extra, "question_id", place)),
        index=index,
        image=image,
        question=question,
        hint=hint,
        extra={**extra, "options": options[1::2], "prompt": prompt},
    )


def _boxes(path: Path) -> dict[str, Any]:
    """What was asked about, and where it is; empty where the file beside the picture is missing."""
    annotation = _annotation(path) if path.exists() else {}
    boxes = annotation.get("bbox") or []
    return {
        "target_object": annotation.get("target_object") or [],
        "bbox": boxes,
        "target_bbox": [[x, y, x + width, y + height] for x, y, width, height in boxes],
    }


def _annotation(path: Path) -> dict[str, Any]:
    annotation = read_json(path, _OBTAIN)
    if not isinstance(annotation, dict):
        raise DatasetError(f"{path}: expected an object in braces, got {annotation!r:.80}")
    return annotation


def _lettered(options: Sequence[str]) -> Iterable[tuple[str, str]]:
    return zip(string.ascii_uppercase, options, strict=False)
