"""What a dataset is here: samples, each a key, an image and a question."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

_SETTLED_AFTER = 2_000_000_000  # nanoseconds; file systems' clocks tick every 1 ms to 2 s


class DatasetError(ValueError):
    """A dataset that cannot be used as it is; the message says what, where and the way out."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One question about one image.

    Attributes:
        key: unique within its dataset; becomes the name of the masked image.
        index: position within its dataset, from 0.
        image: the encoded picture: a file's path, the file's bytes, or a function that reads
            them. It is read when needed, so that a broken one costs one sample and not the run.
        question: asked about the image.
        extra: everything else the dataset knows of the sample (answer, category, box, ...),
            JSON-serialisable; it is handed on to the manifest untouched.
        hint: what the auxiliary model is asked instead of the question, if anything.
        origin: what identifies the picture where it is no file of its own and has not changed as
            long as this has not: a hub set's fingerprint and row, a shard's path, size, time and
            member.
    """

    key: str
    index: int
    image: Path | bytes | Callable[[], bytes]
    question: str
    extra: Mapping[str, Any] = field(default_factory=dict)
    hint: str | None = None
    origin: str | None = None

    @property
    def stamp(self) -> str | None:
        """A cheap identity of the picture as it is now: one stamp, one content.

        `origin`, or a file's path, size and time; None where there is none, as for a file that
        changed so lately that it might change again within the same tick of its clock.
        """
        if self.origin is not None or not isinstance(self.image, Path):
            return self.origin
        try:
            status = os.stat(self.image)  # noqa: PTH116 - a third of the time of Path's
        except OSError:
            return None
        if abs(time.time_ns() - status.st_mtime_ns) < _SETTLED_AFTER:
            return None
        return f"{os.path.abspath(self.image)}\n{status.st_size}\n{status.st_mtime_ns}"  # noqa: PTH100

    @property
    def query(self) -> str:
        """What the auxiliary model is asked: the hint, where there is one, else the question."""
        return self.question if self.hint is None else self.hint

    def read_image(self) -> bytes:
        """The encoded picture. Raises OSError where it is missing or unreadable."""
        if isinstance(self.image, Path):
            return self.image.read_bytes()
        return self.image if isinstance(self.image, bytes) else self.image()


class Dataset(Sequence[Sample]):
    """Samples in a fixed order under unique keys.

    Args:
        name: the dataset's canonical name; becomes part of run folders' names.
        samples: in order, `samples[i].index == i`.

    Raises:
        DatasetError: where two samples share a key.
    """

    def __init__(self, name: str, samples: Sequence[Sample]) -> None:
        self.name = name
        self._samples = samples
        seen: dict[str, int] = {}
        for sample in samples:
            first = seen.setdefault(sample.key, sample.index)
            if first != sample.index:
                raise DatasetError(
                    f"dataset {name}: samples {first} and {sample.index} share the key "
                    f"{sample.key!r}; keys name result files, so give each its own"
                )

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return self._samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)


def read_json(path: Path, obtain: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        obtain: how to get the file, for the error message where it is missing.

    Raises:
        DatasetError: where it is missing or not JSON.
    """
    try:
        return json.loads(read_text(path, obtain))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{path} is not valid JSON: {error}; get the file again") from error


def read_json_lines(path: Path, obtain: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file, one a line; empty lines are passed over.

    Raises:
        DatasetError: where the file is missing or a line is not a JSON object.
    """
    for number, line in enumerate(read_text(path, obtain).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(
                f"{path}, line {number}: not valid JSON ({error}); mend or remove the line"
            ) from error
        if not isinstance(row, dict):
            raise DatasetError(f"{path}, line {number}: expected an object in braces, got {row!r}")
        yield row


def required(row: Mapping[str, Any], column: str, place: str) -> Any:
    """`row[column]`, or a DatasetError that names the column, the place and what is there."""
    if row.get(column) is None:
        raise DatasetError(
            f"{place}: no {column!r} (there are: {', '.join(map(repr, row)) or 'no columns'})"
        )
    return row[column]


def read_text(path: Path, obtain: str) -> str:
    """The content of a text file in UTF-8.

    Args:
        path: the file.
        obtain: how to get the file, for the error message where it is missing.

    Raises:
        DatasetError: where it is missing or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(
            f"{path.name} not found in {path.parent}; {obtain}, or pass --data-root"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
