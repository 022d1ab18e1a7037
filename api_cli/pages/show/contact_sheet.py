"""A contact sheet: one picture with a row a sample and a column a run, for a paper or a chat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

from api_cli.errors import UsageError
from api_cli.pages.show.drawing import DrawnItem, Gone
from api_cli.pages.show.runs import Item, Run
from api_cli.runs.files import write_whole
from api_cli.runs.pictures import EncodeError, encode

MOST_SAMPLES = 12  # of a sheet where nobody says which
_LARGEST = 100_000_000  # pixels of a sheet
_ENDINGS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}
_QUALITY = 92
_GAP, _TEXT_SIZE, _LINE = 12, 15, 20  # pixels
_NARROWEST = 160  # of a column, in pixels
_LINES = 3  # of a question at most
_BACKGROUND, _INK, _MUTED, _EMPTY = "#ffffff", "#1b1f24", "#57606a", "#eef0f2"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Cell = Image.Image | Gone


class _Row(NamedTuple):
    """A sample's part of the sheet: lines above, pictures below."""

    lines: list[str]
    cells: list[Cell]

    @property
    def height(self) -> int:
        pictures = [cell.height for cell in self.cells if isinstance(cell, Image.Image)]
        return len(self.lines) * _LINE + max(pictures, default=3 * _LINE) + 2 * _GAP


def write_contact_sheet(
    path: Path, runs: Sequence[Run], items: Sequence[Item], drawn: Iterable[DrawnItem[Image.Image]]
) -> None:
    """Write the sheet.

    Args:
        path: its ending says the format.
        runs: the columns, behind that of the originals and, of a single run, that of heat maps.
        items: the rows.
        drawn: their pictures.

    Raises:
        UsageError: for another ending, or more samples than a picture holds.
    """
    image_format = _ENDINGS.get(path.suffix.lower())
    if image_format is None:
        raise UsageError(
            f"--contact-sheet {path}: expected a name that ends in .png, .jpg or .webp"
        )
    sheet = draw_sheet(runs, items, drawn)
    try:
        content = encode(sheet, image_format, _QUALITY)
    except EncodeError as error:
        raise UsageError(f"--contact-sheet {path}: {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def draw_sheet(
    runs: Sequence[Run], items: Sequence[Item], drawn: Iterable[DrawnItem[Image.Image]]
) -> Image.Image:
    """The sheet itself, in RGB. Raises UsageError where it would be too large."""
    font = ImageFont.load_default(_TEXT_SIZE)
    with_heat = len(runs) == 1
    heads = ["original", *(["heat map"] if with_heat else []), *(run.label for run in runs)]
    cells = [_cells(item, one, with_heat) for item, one in zip(items, drawn, strict=True)]
    widths = [
        max([_NARROWEST, *(cell.width for cell in column if isinstance(cell, Image.Image))])
        for column in zip(*cells, strict=True)
    ]
    width = sum(widths) + _GAP * (len(widths) + 1)
    rows = [
        _Row(wrap(_caption(item), font, width - 2 * _GAP, _LINES), row)
        for item, row in zip(items, cells, strict=True)
    ]
    height = _GAP + _LINE + sum(row.height for row in rows)
    if width * height > _LARGEST:
        raise UsageError(
            f"--contact-sheet: {len(items)} samples make {width} x {height} pixels, which is too "
            "large; --range START STOP shows fewer, --thumbnail-side smaller ones"
        )
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    lefts = [_GAP + sum(widths[:n]) + _GAP * n for n in range(len(widths))]
    for left, cell_width, head in zip(lefts, widths, heads, strict=True):
        [line] = wrap(head, font, cell_width, 1, from_end=True)
        draw.text((left, _GAP), line, _MUTED, font)
    top = _GAP + _LINE
    for row in rows:
        y = top + _GAP
        for line in row.lines:
            draw.text((_GAP, y), line, _INK, font)
            y += _LINE
        for left, cell_width, cell in zip(lefts, widths, row.cells, strict=True):
            if isinstance(cell, Image.Image):
                sheet.paste(cell, (left, y))
                continue
            bottom = top + row.height - _GAP
            draw.rectangle((left, y, left + cell_width - 1, bottom - 1), _EMPTY)
            for n, line in enumerate(wrap(cell.why, font, cell_width - 12, (bottom - y) // _LINE)):
                draw.text((left + 6, y + n * _LINE), line, _MUTED, font)
        top += row.height
    return sheet


def wrap(text: str, font: Font, width: int, most: int, *, from_end: bool = False) -> list[str]:
    """A text in lines; what is too long ends in three dots.

    Args:
        text: on one line or several; without any there is one empty line.
        font: in which it is written.
        width: of the lines, in pixels.
        most: lines at most, one or more.
        from_end: whether the end of a text that is too long is kept, on one line, not its start.
    """
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:2000]
    if from_end:
        return [words if font.getlength(words) <= width else f"...{_tail(words, font, width)}"]
    lines: list[str] = []
    while words and len(lines) < most:
        fits = _longest(words, font, width)
        if fits < len(words):
            if len(lines) == most - 1:  # the last one
                fits = _longest(words, font, width - font.getlength("..."))
                return [*lines, f"{words[:fits].rstrip()}..."]
            fits = words.rfind(" ", 0, fits + 1) if " " in words[: fits + 1] else fits
        lines.append(words[:fits].rstrip())
        words = words[fits:].lstrip()
    return lines or [""]


def _longest(text: str, font: Font, width: float) -> int:
    """How many characters of a text fit into a width; one at least."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle]) <= width:
            low = middle
        else:
            high = middle - 1
    return low


def _tail(text: str, font: Font, width: int) -> str:
    return text[-_longest(text[::-1], font, width - font.getlength("...")) :]


def _caption(item: Item) -> str:
    question = item.row.get("question")
    return f"{item.key}: {question}" if question else item.key


def _cells(item: Item, drawn: DrawnItem[Image.Image], with_heat: bool) -> list[Cell]:
    """A sample's pictures, a column each."""
    cells: list[Cell] = [drawn.original]
    for run, error in zip(drawn.runs, item.errors, strict=True):
        missing = Gone(f"{error['stage']}: {error['error']}" if error else "not in this run")
        if with_heat:
            cells.append(missing if run is None else run.heat)
        cells.append(missing if run is None else run.pictures["file_name"])
    return cells
