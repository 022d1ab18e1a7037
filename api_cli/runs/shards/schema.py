"""The columns of all shards of a run, fixed before the first is made.

Shards are made apart from each other, and readers want one schema. So it is told from the first
fragment's samples, kept in `run.yaml`, and what a later row has beside it, or of another kind,
stands in that row's `other_columns`, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from api_cli.masking import LLAVA, Method
from api_cli.runs.card import feature
from api_cli.runs.columns import OTHERS, Columns, column_name, plain_row
from datasets_manager import Sample

Kind = Any  # as of `Columns.describe`: a name of Arrow's, [kind] of a list, names to kinds

_LOOKED_AT = 1000  # samples
_EXACT = 2**53  # the largest integer that a float holds for sure
_OWN: dict[str, Kind] = {"key": "string", "index": "int64", "question": "string"}
_LAST: dict[str, Kind] = {"image_sha256": "string", "flat": "bool", OTHERS: "string"}
_CROP: dict[str, Kind] = {"crop_box": ["int64"]}
# what they make beside the masked image, and facts (a test holds it and their table together)
_OF_RENDERINGS: dict[str, tuple[tuple[str, ...], dict[str, Kind]]] = {
    "crop": ((), _CROP),
    "pair": (("crop_file_name",), _CROP),
    "cutout": ((), _CROP),
}


class Schema(NamedTuple):
    """What shards' rows hold.

    Attributes:
        pictures: names of pictures as of `Sink.save_images`, in the order of rows.
        columns: all other columns, with their kinds.
        beside: suffixes of files beside a sample's pictures, each a column.
    """

    pictures: tuple[str, ...]
    columns: Mapping[str, Kind]
    beside: tuple[str, ...] = ()

    def of_rendering(self, name: str) -> Schema:
        """With what a rendering makes beside the masked image, and has to say of it."""
        pictures, facts = _OF_RENDERINGS.get(name, ((), {}))
        columns = {**self.columns, **facts}
        if OTHERS in columns:
            columns[OTHERS] = columns.pop(OTHERS)  # stays last
        return self._replace(pictures=(*self.pictures, *pictures), columns=columns)

    def fit(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A plain row without its pictures, as these columns; what has no place, as JSON."""
        fitted: dict[str, Any] = dict.fromkeys(self.columns)
        others = {}
        for name, value in row.items():
            if name in self.columns and _fits(value, self.columns[name]):
                fitted[name] = _as(value, self.columns[name])
            elif value is not None:
                others[name] = value
        fitted[OTHERS] = json.dumps(others) if others else None
        return fitted

    def features(self) -> list[dict[str, Any]]:
        """As `datasets` writes them into cards."""
        pictures = [{"name": name, "dtype": "image"} for name in self._images]
        files = [{"name": name, "dtype": "binary"} for name in self._files]
        return [*pictures, *self.plain_features(), *files]

    def plain_features(self) -> list[dict[str, Any]]:
        """Those of the columns that are no pictures or files."""
        return [{"name": name, **feature(kind)} for name, kind in self.columns.items()]

    def arrow(self) -> Any:
        """For pyarrow, with what `datasets` reads off a file's metadata."""
        import datasets

        kinds: dict[str, Any] = {name: datasets.Image() for name in self._images}
        kinds |= {name: _feature(kind) for name, kind in self.columns.items()}
        kinds |= {name: datasets.Value("binary") for name in self._files}
        return datasets.Features(kinds).arrow_schema

    @property
    def _images(self) -> list[str]:
        beside = (column_of(suffix) for suffix in self.beside if _is_image(suffix))
        return [*map(picture_column, self.pictures), *beside]

    @property
    def _files(self) -> list[str]:
        return [column_of(suffix) for suffix in self.beside if not _is_image(suffix)]


def pictures_of(rendering: str) -> tuple[str, ...]:
    """Names of the pictures that a rendering makes, as of `Sink.save_images`, in order."""
    return ("file_name", *_OF_RENDERINGS.get(rendering, ((), {}))[0])


def picture_column(name: str) -> str:
    """The column of a picture that `Sink.save_images` has under this name."""
    return "image" if name == "file_name" else name.removesuffix("_file_name")


def column_of(suffix: str) -> str:
    """The column of a file of `Sink.save_beside`: `cls_map` of `.cls_map.jpg`, `npy` of `.npy`."""
    return suffix.strip(".").split(".")[0]


def find_columns(samples: Iterable[Sample], method: Method, shape: Schema) -> dict[str, Kind]:
    """The columns of a run, by the first samples of its dataset.

    Args:
        samples: of the first fragment.
        method: of the run, whose models have each their own facts.
        shape: the pictures and files that have columns already.
    """
    extra = Columns()
    hinted = False
    for sample in islice(samples, _LOOKED_AT):
        hinted |= sample.hint is not None
        try:
            row = {column_name(name): value for name, value in sample.extra.items()}
        except Exception:  # whatever a dataset's own columns raise is the sample's matter
            continue
        extra.add(plain_row(row))
    facts: dict[str, Kind] = {"question_cut": "bool", "map_kind": "string"}
    if method is LLAVA:
        facts = {
            "auxiliary_answer": "string",
            "auxiliary_tokens": "int64",
            "highlighted": "bool",
            "relevance_grid": "string",
        }
    query = {"query": "string"} if hinted else {}
    taken = {*map(picture_column, shape.pictures), *map(column_of, shape.beside)}
    known = {name: _settled(kind) for name, kind in extra.describe().items() if name not in taken}
    return {**_OWN, **query, **facts, **known, **_LAST}


def _settled(kind: Kind) -> Kind:
    """A kind of which nothing is open: what held nothing so far will hold text."""
    if isinstance(kind, list):
        return [_settled(kind[0])]
    if isinstance(kind, dict):
        return {name: _settled(inner) for name, inner in kind.items()} or "string"
    return kind if kind in ("bool", "int64", "float64") else "string"


def _fits(value: Any, kind: Kind) -> bool:
    if value is None or kind == "string":
        return True
    if isinstance(kind, list):
        return isinstance(value, list) and all(_fits(item, kind[0]) for item in value)
    if isinstance(kind, dict):
        return isinstance(value, dict) and all(
            name in kind and _fits(item, kind[name]) for name, item in value.items()
        )
    if kind == "float64":
        return type(value) is float or (type(value) is int and abs(value) <= _EXACT)
    return type(value) is {"int64": int, "bool": bool}[kind]


def _as(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if isinstance(kind, list):
        return [_as(item, kind[0]) for item in value]
    if isinstance(kind, dict):
        return {name: _as(item, kind[name]) for name, item in value.items()}
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value)
    return float(value) if kind == "float64" else value


def _feature(kind: Kind) -> Any:
    import datasets

    if isinstance(kind, list):
        return datasets.List(_feature(kind[0]))
    if isinstance(kind, dict):
        return {name: _feature(inner) for name, inner in kind.items()}
    return datasets.Value(kind)


def _is_image(suffix: str) -> bool:
    return suffix.endswith(".jpg")
