"""Rows: what a file says of a sample, asked for by name; what is not as it should be is its fault.

A loader asks a row for what makes a sample, and hands its `fault` on last. So one row's fault is
one sample's, whatever it is; what concerns a whole file is a `DatasetError`.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from datasets_manager.base import DatasetError, read_file, without_image_mark

_SEVERAL = (list, dict)
_SHOWN = 30  # columns in a message, at most
_decode = json.JSONDecoder().raw_decode


class Unreadable(Exception):
    """Stands for a value that its file could not give; says why."""


class Row(Mapping[str, Any]):
    """What a file says of one sample.

    Args:
        fields: its columns; anything but an object of named values is its fault.
        place: where it stands, for messages.
        fault: what is known to be wrong with it.
    """

    __slots__ = ("_fault", "_fields", "place")

    def __init__(self, fields: object, place: str, fault: str | None = None) -> None:
        self.place = place
        self._fault = fault
        self._fields: Mapping[str, Any] = {}
        if type(fields) is dict or isinstance(fields, Mapping):
            self._fields = fields
        else:
            self.blame(f"expected an object in braces, got {reprlib.repr(fields)}")

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    @property
    def fault(self) -> str | None:
        """The first thing that is wrong with it, with its place; None where nothing is."""
        return None if self._fault is None else f"{self.place}: {self._fault}"

    def blame(self, what: str) -> None:
        """Note what is wrong with it; the first thing counts."""
        self._fault = self._fault or what

    def text(self, name: str) -> str:
        """The text in a column; empty, and a fault, where there is none."""
        value = self._fields.get(name)
        if _is_empty(value):
            self._blame_empty(name)
            return ""
        try:
            return text_of(value)
        except ValueError as error:
            self.blame(f"{name} {error}")
            return ""

    def hint(self, name: str) -> str | None:
        """The text in a column that may be empty; None where it is."""
        return None if _is_empty(self._fields.get(name)) else self.text(name)

    def key(self, *names: str) -> str:
        """The values of columns as a key, joined by `_`; empty, and a fault, where one is none."""
        parts = []
        for name in names:
            value = self._fields.get(name)
            if _is_empty(value):
                self._blame_empty(name)
                return ""
            try:
                parts.append(_key_part(value))
            except ValueError as error:
                self.blame(f"{name} {error}")
                return ""
        return "_".join(parts)

    def key_or(self, default: object, name: str) -> str:
        """The key in a column that may be empty, else the default."""
        return str(default) if _is_empty(self._fields.get(name)) else self.key(name)

    def file(self, folder: Path, name: str, suffix: str = "") -> Path:
        """The path in a column, below a folder; the folder, and a fault, where it is none."""
        file_name = self.text(name)
        parts = file_name.replace("\\", "/").split("/")  # paths would take a second for 100,000
        if file_name and (parts[0] == "" or ".." in parts):
            self.blame(f"{name} {file_name!r} leads out of the folder")
        elif "\0" in file_name:
            self.blame(f"{name} {file_name!r} is no file's name")
        return _below(folder, f"{file_name}{suffix}") if self._fault is None else folder

    def others(self, *names: str) -> dict[str, Any]:
        """All columns but these; of these, too, what is more than the one value taken from it."""
        if Unreadable in map(type, self._fields.values()):
            for name, value in self._fields.items():
                if isinstance(value, Unreadable):
                    self.blame(f"{name} {value}")
        return {
            name: value
            for name, value in self._fields.items()
            if name not in names or isinstance(value, _SEVERAL)
        }

    def _blame_empty(self, name: str) -> None:
        there = f"there are: {_listed(self._fields)}"
        self.blame(f"{name} is empty" if name in self._fields else f"no {name!r} ({there})")


@lru_cache(maxsize=1024)  # samples about one picture follow each other, and share its path
def _below(folder: Path, name: str) -> Path:
    return folder / name


def text_of(value: object) -> str:
    """A value that is a text, or a conversation, of which the first human turn is taken.

    Conversations are lists as LLaVA's (`from` and `value`) or OpenAI's (`role` and `content`), or
    what `datasets` makes of them, an object of two lists. A turn is taken without its `<image>`.

    Raises:
        ValueError: for anything else; the message goes on after the column's name.
    """
    if isinstance(value, str):
        if value.isascii():
            return value
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"is no text in Unicode: {error.reason}") from None
        return value
    if isinstance(value, Unreadable):
        raise ValueError(str(value))
    turn = _first_human_turn(value)
    if turn is not None:
        return without_image_mark(text_of(turn)).strip()
    kind = "number" if type(value) in (int, float) else type(value).__name__
    raise ValueError(f"is no text but a {kind}: {reprlib.repr(value)}")


def _first_human_turn(value: object) -> str | None:
    """What a person says first in a conversation; None where the value is none."""
    if isinstance(value, dict):
        columns = {name: items for name, items in value.items() if isinstance(items, list)}
        turns = zip(*columns.values(), strict=False)
        value = [dict(zip(columns, turn, strict=True)) for turn in turns]
    for turn in value if isinstance(value, list) else ():
        if not isinstance(turn, dict):
            return None
        for who, what in (("from", "value"), ("role", "content")):
            if turn.get(who) in ("human", "user"):
                return _content(turn.get(what))
    return None


def _content(content: object) -> str | None:
    """The text of a turn's content, which may be in parts of text and pictures."""
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    texts = [
        part["text"]
        for part in content
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]
    return "\n".join(texts) if texts else None


def _key_part(value: object) -> str:
    if isinstance(value, float) and value.is_integer():  # a column of whole numbers and gaps
        return str(int(value))
    if type(value) is int or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    if isinstance(value, str):
        return value
    if isinstance(value, Unreadable):
        raise ValueError(str(value))
    raise ValueError(f"is no key but a {type(value).__name__}: {reprlib.repr(value)}")


def _is_empty(value: object) -> bool:
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and math.isnan(value))


def check_columns_of(rows: Sequence[Row], names: Iterable[str], place: str) -> None:
    """Raises DatasetError for a name, of those that are not empty, that no row has at all."""
    for name in filter(None, names):
        if rows and not any(name in row for row in rows):
            there = dict.fromkeys(column for row in rows for column in row)
            raise DatasetError(f"{place}: no {name!r} in any row (there are: {_listed(there)})")


def _listed(names: Iterable[str]) -> str:
    some = [repr(name) for name in names]
    more = [f"and {len(some) - _SHOWN} more"] if len(some) > _SHOWN else []
    return ", ".join(some[:_SHOWN] + more) or "no columns"


def read_json_lines(path: Path, obtain: str) -> Iterator[Row]:
    """The objects of a JSON-lines file in UTF-8, one a line; empty lines are passed over.

    Raises:
        DatasetError: where the file is missing, or not one line is a JSON object.
    """
    rows = []
    where = f"{path}, line "
    lines = read_file(path, obtain).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            rows.append(_json_row(line, where + str(number)))
    yield from whole(rows)


def whole(rows: Sequence[Row]) -> Sequence[Row]:
    """The rows of a file. Raises DatasetError where not one of them is as it should be."""
    if rows and all(row.fault for row in rows):
        raise DatasetError(str(rows[0].fault))
    return rows


def parse_line(line: bytes) -> Any:
    """What a line of JSON in UTF-8 says, in half of the time of `json.loads`.

    Raises:
        ValueError, RecursionError: where it says nothing.
    """
    text = line.strip(b" \t\r\n").decode()
    value, end = _decode(text)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def _json_row(line: bytes, place: str) -> Row:
    try:
        return Row(parse_line(line), place)
    except UnicodeDecodeError as error:
        return Row({}, place, f"cannot be read: {error}")
    except (ValueError, RecursionError) as error:
        return Row({}, place, f"not valid JSON ({error}); mend or remove the line")
