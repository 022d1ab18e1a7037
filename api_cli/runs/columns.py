"""What goes into a manifest's rows so that `datasets` opens them, whatever a dataset knows.

`datasets` reads JSON lines by Arrow, which wants Unicode, 64 bits and one type a column, and takes
the types that it finds in the first megabytes for those of all. So each value is first made `plain`
by itself, `Columns` sums up what kinds of values the columns hold, and where some hold several,
`Columns.fit` says how the rows are to be written instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

Row = Mapping[str, Any]

_DEEPEST = 8  # levels of lists and mappings; what is deeper is written as JSON text
_MOST_FIELDS = 200  # of a mapping; where keys are data, it is written as JSON text
_LARGEST_EXACT = 2**53  # integer, as a float
_LONE = re.compile("[\ud800-\udfff]")
_LIKE_LONE = re.compile(r"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
# what Arrow reads as a time, where all texts of a column are such
_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d(?::?\d\d(?::?\d\d)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?)?")

OWN_COLUMNS = frozenset(
    {
        *("image", "crop", "key", "index", "question", "query", "image_sha256", "flat", ""),
        *("auxiliary_answer", "auxiliary_tokens", "highlighted", "mask_of", "crop_box"),
    }
)
"""Names that a dataset's columns may not take in the manifest."""
_FILES = re.compile(r"(?:.*_)?file_names?", re.DOTALL)
_PREFIXES = re.compile(r"(?:dataset_)*")


def column_name(name: str) -> str:
    """A dataset's column's name in the manifest: no two the same, and the same in every row.

    It stays where it is free. `image` and the manifest's own become `dataset_image`, and so on;
    what `datasets` would open as a file loses an underscore as well: `dataset_filename`.
    """
    name = _file_name_free(name)
    return f"dataset_{name}" if _PREFIXES.sub("", name, count=1) in OWN_COLUMNS else name


def _file_name_free(name: str) -> str:
    if _FILES.fullmatch(name):
        return "dataset_" + "filename".join(name.rsplit("file_name", 1))
    if re.fullmatch(r"dataset_.*filenames?_*", name, re.DOTALL):
        return f"{name}_"  # else what the line above makes could be there already
    return name


def text(value: str) -> str:
    r"""A text as Unicode; no two texts the same.

    Lone surrogates, which stand for the bytes of a file name that is not UTF-8, become `\udce9`;
    in such texts, and in those that look like it, a backslash becomes two.
    """
    if value.isascii() and "\\u" not in value:
        return value
    if not (_LONE.search(value) or _LIKE_LONE.search(value)):
        return value
    return re.sub(r"\\|[\ud800-\udfff]", _escape, value)


def _escape(match: re.Match[str]) -> str:
    return "\\\\" if match[0] == "\\" else f"\\u{ord(match[0]):04x}"


def plain_row(row: Row) -> dict[str, Any]:
    """A row of values that JSON and Arrow know, under names that they know."""
    return {_name(name): plain(value) for name, value in row.items()}


def plain(value: Any, depth: int = 0) -> Any:
    """A value of JSON's types; what is of no such type, or too large for one, as text."""
    kind = type(value)
    if kind is str:
        return text(value)
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if -(2**63) <= value < 2**63 else _digits(value)
    if isinstance(value, Mapping):
        inner: Any = {
            _name(_file_name_free(str(name))): plain(item, depth + 1)
            for name, item in value.items()
        }
        return json.dumps(inner) if depth >= _DEEPEST else inner
    if isinstance(value, list | tuple | set | frozenset):
        inner = [plain(item, depth + 1) for item in value]
        return json.dumps(inner) if depth >= _DEEPEST else inner
    for base in (str, bool, int, float):
        if isinstance(value, base):  # of a class of its own, such as an enumeration's
            return plain(base(value), depth)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if hasattr(value, "tolist"):  # NumPy's
        return plain(value.tolist(), depth)
    return text(str(value))


def unfold(value: Any) -> Any:
    """A list or mapping from the JSON text that `Columns.fit` made of it; all else as it is."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # more digits than Python writes
        return hex(value)


def _name(name: str) -> str:
    return text(name).replace("\0", "\\u0000")


class Columns:
    """What kinds of values each column holds, of plain rows that are added one by one."""

    def __init__(self) -> None:
        self._whole = _Place()
        self._whole.kind = _STRUCT

    def add(self, row: Row) -> bool:
        """Take a row in; whether it brought a column or a kind that no row before it had."""
        fields, grew = self._whole.fields, False
        for name, value in row.items():
            place = fields.get(name)
            if place is None:
                place = fields[name] = _Place()
                grew = True
            if value is not None and place.settled is not type(value):
                grew |= place.take(value)
        return grew

    @property
    def mixed(self) -> bool:
        """Whether some column holds values of several kinds, so that its rows must be `fit`."""
        return self._whole.is_mixed

    def fit(self, row: Row) -> dict[str, Any]:
        """A row with one kind of value a column.

        Where kinds differ, what is no text becomes JSON; integers beside floats become floats.
        """
        fields = self._whole.fields
        return {name: fields[name].fit(value) for name, value in row.items()}

    def describe(self) -> dict[str, Any]:
        """Each column's Arrow type as `datasets` names it; [type] of lists, a dict of mappings."""
        return {name: place.describe() for name, place in self._whole.fields.items()}


_BOOL, _INT, _LONG, _FLOAT, _TIME_TEXT, _TEXT, _LIST, _STRUCT, _MIXED = [
    "bool",
    "int",
    "long",
    "float",
    "time",
    "text",
    "list",
    "struct",
    "mixed",
]
_TOGETHER = {
    frozenset({_TIME_TEXT, _TEXT}): _TEXT,
    frozenset({_INT, _LONG}): _LONG,
    frozenset({_INT, _FLOAT}): _FLOAT,
}
_SETTLED: dict[str, type] = {_TEXT: str, _BOOL: bool, _FLOAT: float, _LONG: int}
_ARROW = {
    None: "null", _BOOL: "bool", _INT: "int64", _LONG: "int64", _FLOAT: "float64",
    _TIME_TEXT: "timestamp[s]", _TEXT: "string", _MIXED: "string",
}  # fmt: skip


class _Place:
    """A column, or the place of a list's items or of a mapping's field: what values it held."""

    __slots__ = ("fields", "items", "kind", "settled", "widened")

    def __init__(self) -> None:
        self.kind: str | None = None  # None while there were only nulls
        self.settled: type | None = None  # values of this type bring nothing new, as most do
        self.widened = False  # integers among floats
        self.items: _Place | None = None
        self.fields: dict[str, _Place] = {}

    def take(self, value: Any) -> bool:
        if value is None or self.kind is _MIXED:
            return False
        before, kind = self.kind, _kind_of(value)
        if before is None or before is kind:
            self.kind = kind
        else:
            self.kind = _TOGETHER.get(frozenset({before, kind}), _MIXED)
            self.widened |= self.kind is _FLOAT
        if kind is _LIST and len(value) > 1 and value[0] is None:
            self.kind = _MIXED  # Arrow's reader puts the first items of such lists elsewhere
        grew = self.kind is not before
        self.settled = _SETTLED.get(self.kind)
        if self.kind is _LIST:
            if self.items is None:
                self.items = _Place()
            items = self.items
            for item in value:
                if item is not None and items.settled is not type(item):
                    grew |= items.take(item)
        elif self.kind is _STRUCT:
            for name, item in value.items():
                place = self.fields.get(name)
                if place is None:
                    place = self.fields[name] = _Place()
                    grew = True
                grew |= place.take(item)
            if len(self.fields) > _MOST_FIELDS:
                self.kind = _MIXED
        return grew

    @property
    def is_mixed(self) -> bool:
        inner = [*self.fields.values(), *([self.items] if self.items else [])]
        return self.kind is _MIXED or self.widened or any(place.is_mixed for place in inner)

    def fit(self, value: Any) -> Any:
        if value is None:
            return None
        if self.kind is _MIXED:
            return value if isinstance(value, str) else json.dumps(value)
        if self.kind is _FLOAT:
            return float(value)
        if self.kind is _LIST and self.items is not None:
            return [self.items.fit(item) for item in value]
        if self.kind is _STRUCT:
            return {name: self.fields[name].fit(item) for name, item in value.items()}
        return value

    def describe(self) -> Any:
        if self.kind is _LIST and self.items is not None:
            return [self.items.describe()]
        if self.kind is _STRUCT:
            return {name: place.describe() for name, place in self.fields.items()}
        return _ARROW[self.kind]


def _kind_of(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return _TIME_TEXT if _TIME.fullmatch(value) else _TEXT
    if kind is bool:
        return _BOOL
    if kind is int:
        return _INT if -_LARGEST_EXACT <= value <= _LARGEST_EXACT else _LONG
    if kind is float:
        return _FLOAT
    return _LIST if kind is list else _STRUCT
