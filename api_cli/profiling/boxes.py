"""Boxes of a row, and how much of each cell of a patch grid they cover. Pure.

A box is [x0, y0, x1, y1] with x1 and y1 not included, or [x, y, width, height]; in pixels of the
picture as a person sees it, or in fractions of its width and height.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api_cli.masking import Box

COLUMNS = ("boxes", "bboxes", "box", "bbox")
"""Where boxes are looked for, unless a column is named."""

Fractions = NDArray[np.float64]
"""(K, 4): x0, y0, x1, y1 of K boxes in fractions of the picture, within [0, 1]."""


class Cells(NamedTuple):
    """A patch grid's cells against the boxes, in shares of the picture's area.

    Attributes:
        inside: (h, w) float64, what of the picture lies in the cell and in a box.
        whole: (h, w) float64, what of it lies in the cell; sums to 1.
        hit: (h, w) bool, whether pointing at the cell counts: the middle of what it shows lies in
            a box, or a box's middle lies in it, so that a box between the middles can be hit.
    """

    inside: NDArray[np.float64]
    whole: NDArray[np.float64]
    hit: NDArray[np.bool_]


def read_boxes(value: Any, layout: str, column: str) -> NDArray[np.float64]:
    """A row's value to (K, 4) x0, y0, x1, y1, in the row's own units.

    Args:
        value: four numbers, or a list of such; or either as JSON.
        layout: `xyxy` or `xywh`.
        column: for messages.

    Raises:
        ValueError: where it is no such thing.
    """
    expected = (
        "[x0, y0, x1, y1]" if layout == "xyxy" else "[x, y, width, height]"
    ) + ", or a list of such"
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"column {column!r}: expected {expected}; got {value!r:.60}") from None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or (_is_list(value) and not len(value)):
        raise ValueError(f"column {column!r} has no box")
    rows = value if _is_list(value) and all(map(_is_list, value)) else [value]
    if not all(_is_list(row) and len(row) == 4 and all(map(_is_number, row)) for row in rows):
        raise ValueError(f"column {column!r}: expected {expected}; got {value!r:.60}")
    boxes = np.array(rows, dtype=np.float64)
    if layout == "xywh":
        boxes[:, 2:] += boxes[:, :2]
    for row, (x0, y0, x1, y1) in zip(rows, boxes, strict=True):
        if x1 <= x0 or y1 <= y0:
            other = "; is it of --box-format xywh?" if layout == "xyxy" else ""
            raise ValueError(f"column {column!r}: the box {list(row)} is empty{other}")
    return boxes


def to_fractions(
    boxes: NDArray[np.float64], units: str, size: tuple[int, int], column: str
) -> Fractions:
    """Boxes (K, 4) cut at the picture's edges; those outside it are left out.

    Args:
        boxes: from `read_boxes`.
        units: `pixels`, `fractions`, or `auto`: fractions where no number is above 1.
        size: width and height of the picture in pixels.
        column: for messages.

    Raises:
        ValueError: where nothing is left, or nothing of the picture is outside.
    """
    if units == "auto":
        units = "fractions" if boxes.max() <= 1 else "pixels"
    scale = np.ones(4) if units == "fractions" else np.array([*size, *size], dtype=np.float64)
    cut = (boxes / scale).clip(0, 1)
    cut = cut[(cut[:, 2] > cut[:, 0]) & (cut[:, 3] > cut[:, 1])]
    if not len(cut):
        raise ValueError(
            f"column {column!r}: {boxes.tolist()!r:.80} in {units} lies outside the picture of "
            f"{size[0]} x {size[1]} pixels"
        )
    return cut


def cover(boxes: Fractions, outline: Box, shape: tuple[int, int]) -> Cells:
    """How much of each cell the boxes cover together; exact, whatever they overlap.

    Args:
        boxes: (K, 4) in fractions of the picture.
        outline: the picture's within the grid (left, top, right, bottom), in cells.
        shape: rows and columns of the grid.
    """
    left, top, right, bottom = outline
    x = ((np.arange(shape[1] + 1) - left) / (right - left)).clip(0, 1)  # lines of the grid
    y = ((np.arange(shape[0] + 1) - top) / (bottom - top)).clip(0, 1)
    whole = np.outer(np.diff(y), np.diff(x))
    # between neighbouring lines of grid and boxes, all is covered or nothing
    xs, ys = (np.unique(np.concatenate([lines, boxes[:, at].ravel()]))
              for lines, at in ((x, [0, 2]), (y, [1, 3])))  # fmt: skip
    middle_x, middle_y = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2
    covered = np.zeros((len(middle_y), len(middle_x)), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        across = (x0 < middle_x) & (middle_x < x1)
        covered |= ((y0 < middle_y) & (middle_y < y1))[:, None] & across
    area = covered * np.outer(np.diff(ys), np.diff(xs))
    columns = _membership(middle_x, x)
    rows = _membership(middle_y, y)
    return Cells(rows.T @ area @ columns, whole, _hits(boxes, x, y))


def has_outside(cells: Cells) -> bool:
    """Whether any of the picture lies outside all boxes, as the AUROC needs."""
    return math.fsum((cells.whole - cells.inside).ravel()) > 1e-9


def find_column(named: str | None, rows: Iterable[Mapping[str, Any]]) -> str:
    """The column that has the boxes: the one that is named, or of `COLUMNS` the first there is.

    Args:
        named: by the user.
        rows: what is known of samples; no more are looked at than it takes.

    Raises:
        ValueError: where no row has it.
    """
    columns = COLUMNS if named is None else (named,)
    there: dict[str, None] = {}
    for row in rows:
        for column in columns:
            if column in row:
                return column
        there |= dict.fromkeys(row)
    raise ValueError(
        f"no sample has a column of boxes ({', '.join(columns)}); there are: "
        f"{', '.join(there) or 'none'}. A profile needs the boxes of what each question is about: "
        "--box-column NAME"
    )


def _hits(boxes: Fractions, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    middle_x, middle_y = (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2
    hit = np.zeros((len(middle_y), len(middle_x)), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        across, down = (x0 + x1) / 2, (y0 + y1) / 2
        hit |= np.outer((y0 <= middle_y) & (middle_y < y1), (x0 <= middle_x) & (middle_x < x1))
        hit |= np.outer((y[:-1] <= down) & (down < y[1:]), (x[:-1] <= across) & (across < x[1:]))
    return hit


def _membership(middles: NDArray[np.float64], lines: NDArray[np.float64]) -> NDArray[np.float64]:
    """(pieces, cells): 1 where a piece between two lines lies in a cell."""
    inside = (lines[:-1] < middles[:, None]) & (middles[:, None] < lines[1:])
    return inside.astype(np.float64)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
