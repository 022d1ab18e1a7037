"""What a dataset is here: samples, each a key, an image and a question."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, overload

IMAGE_MARK = "<image>"
"""Where data in LLaVA's format says that the picture goes; no part of what is asked."""

_SETTLED_AFTER = 2_000_000_000  # nanoseconds; file systems' clocks tick every 1 ms to 2 s


class DatasetError(ValueError):
    """A dataset, or a sample of one, that cannot be used; says what, where and the way out."""


class Note(NamedTuple):
    """What a loader has left out, in words for people; it yields them among its samples."""

    text: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One question about one image.

    Attributes:
        key: unique within its dataset; becomes the name of the masked image.
        index: position within its dataset, from 0.
        image: the encoded picture: a file's path, the file's bytes, or a function that reads
            them. It is read when needed, so that a broken one costs one sample and not the run.
        question: asked about the image, in the dataset's own words.
        extra: everything else the dataset knows of the sample (answer, category, box, ...),
            JSON-serialisable; it is handed on to the manifest untouched.
        hint: what the auxiliary model is asked instead of the question, if anything.
        fault: what is wrong with the sample, found while listing it, with the place; it is then
            not processed, whatever else it has. None where nothing is.
        picture: names the picture, where it is known before reading that several samples are
            about one; a path names itself.
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
    fault: str | None = None
    picture: str | None = None
    origin: str | None = None

    @property
    def stamp(self) -> str | None:
        """A cheap identity of the picture as it is now: one stamp, one content.

        `origin`, or a file's path, size and time; None where there is none, as for a file that
        changed so lately that it might change again within the same tick of its clock.
        """
        if self.origin is not None or not isinstance(self.image, Path):
            return self.origin
        return file_stamp(self.image)

    @property
    def query(self) -> str:
        """What the auxiliary model is asked: the hint, where there is one, else the question.

        Without any `<image>`, which is a mark of the data's format and no word.
        """
        return without_image_mark(self.question if self.hint is None else self.hint)

    @property
    def source_name(self) -> str:
        """The name of the picture's own file; the key where it is no file of its own."""
        return self.image.name if isinstance(self.image, Path) else self.key

    def read_image(self) -> bytes:
        """The encoded picture.

        Raises:
            OSError: where it is missing or unreadable.
            Exception: whatever else a function that reads it raises.
        """
        if isinstance(self.image, Path):
            return self.image.read_bytes()
        content = self.image if isinstance(self.image, bytes) else self.image()
        if not isinstance(content, bytes):  # a function of somebody else's
            raise DatasetError(f"the picture is no bytes but a {type(content).__name__}")
        return content

    def shares_picture(self, other: Sample) -> bool:
        """Whether it is known, without reading, that both are about the same picture."""
        if self.picture is not None or other.picture is not None:
            return self.picture == other.picture
        return isinstance(self.image, Path) and self.image == other.image


def file_stamp(path: Path) -> str | None:
    """A file's path, size and time; None where it is missing, or changed this very moment."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a third of the time of Path's
    except OSError:
        return None
    if abs(time.time_ns() - status.st_mtime_ns) < _SETTLED_AFTER:
        return None
    return f"{os.path.abspath(path)}\n{status.st_size}\n{status.st_mtime_ns}"  # noqa: PTH100


def digest_origin(text: str | None) -> str | None:
    """16 hex digits that stand for a source's identity, since every sample of it holds them."""
    return None if text is None else sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def without_image_mark(text: str) -> str:
    """A question without any `<image>`, and then without blanks around it."""
    return text.replace(IMAGE_MARK, "").strip() if IMAGE_MARK in text else text


class Dataset(Sequence[Sample]):
    """Samples in a fixed order under unique keys.

    A sample that asks nothing, or what is no text, gets a fault; one whose key is an earlier one's
    gets a fault as well, and the key `KEY (sample INDEX)`.

    Args:
        name: the dataset's canonical name; becomes part of run folders' names.
        samples: in order, which their indices are made to follow.
        notes: what was left out while listing, a sentence each.
    """

    def __init__(self, name: str, samples: Iterable[Sample], notes: Sequence[str] = ()) -> None:
        self.name = name
        self.notes = notes
        asking = [_asking(sample, index) for index, sample in enumerate(samples)]
        self._samples = _under_unique_keys(asking)

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


def _asking(sample: Sample, index: int) -> Sample:
    """The sample at its place, at fault where it asks nothing, or what is no text."""
    if sample.index != index:
        sample = replace(sample, index=index)
    texts = {"key": sample.key, "question": sample.question, "hint": sample.hint or ""}
    for name, text in texts.items():
        if not isinstance(text, str):  # a loader of somebody else's
            fault = f"sample {index}: {name} is no text but a {type(text).__name__}"
            whole = {other: t for other, t in texts.items() if isinstance(t, str)}
            return replace(sample, **{"key": "", "question": "", "hint": "", **whole}, fault=fault)
    if sample.fault is None and not sample.query.strip():
        return replace(sample, fault=f"sample {index}: the question is empty")
    return sample


def _under_unique_keys(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The samples; a key is kept by its first sample without a fault, or else by its first."""
    if all(sample.key for sample in samples) and len({s.key for s in samples}) == len(samples):
        return samples
    keepers: dict[str, int] = {}
    for wanted in (True, False):
        for sample in samples:
            if (sample.fault is None) is wanted and sample.key:
                keepers.setdefault(sample.key, sample.index)
    unique = []
    for sample in samples:
        first = keepers.get(sample.key)
        if first == sample.index:
            unique.append(sample)
            continue
        key = f"{sample.key} (sample {sample.index})".strip()
        while key in keepers:
            key += "'"
        keepers[key] = sample.index
        fault = sample.fault or (
            f"samples {first} and {sample.index} share the key {sample.key!r}; keys name result "
            "files, so give each its own"
        )
        unique.append(replace(sample, key=key, fault=fault))
    return unique


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
    except (ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path} is not valid JSON: {error}; get the file again") from error


def read_text(path: Path, obtain: str) -> str:
    """The content of a text file in UTF-8.

    Args:
        path: the file.
        obtain: how to get the file, for the error message where it is missing.

    Raises:
        DatasetError: where it is missing or no text.
    """
    try:
        return read_file(path, obtain).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


def read_file(path: Path, obtain: str) -> bytes:
    """The content of a file. Raises DatasetError where it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DatasetError(
            f"{path.name} not found in {path.parent}; {obtain}, or pass --data-root"
        ) from None
    except (OSError, ValueError) as error:  # ValueError for a name with a zero byte
        raise DatasetError(f"{path} cannot be read: {error}") from error
