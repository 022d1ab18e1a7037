"""Tar shards in WebDataset's convention: `webdataset:PATTERN`.

Files of one sample share their name up to the first dot: `0001.jpg` with `0001.txt` or
`0001.json`. Shards are not unpacked: of each picture only its place is noted.
"""

from __future__ import annotations

import glob
import json
import re
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from datasets_manager.base import DatasetError, Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import DatasetInfo

_PICTURES = ("jpg", "jpeg", "png", "webp")


def find(name: str) -> DatasetInfo:
    """What is known of `webdataset:PATTERN`, before the shards are looked for."""
    pattern = name.removeprefix("webdataset:")
    return DatasetInfo(
        name,
        partial(_load, pattern),
        about="tar shards",
        home="https://github.com/webdataset/webdataset",
        licence="yours",
        takes=("question", "question_column"),
    )


def _load(pattern: str, root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of the shards of a pattern such as `shards/*.tar` or `shards/{000..009}.tar`.

    The question is the text's content, or the JSON's `question`; other fields of the JSON travel
    along. Keys are the files' paths within the shard up to the first dot.
    """
    shards: list[Path] = []
    for part in _expand_braces(pattern):
        found = sorted(glob.glob(part))  # noqa: PTH207, absolute or not
        if not found:
            raise DatasetError(
                f"webdataset:{pattern}: no file matches{'' if part == pattern else f' {part}'}; "
                "expected a pattern like dir/*.tar or dir/{000..009}.tar"
            )
        shards += map(Path, found)
    column = options.question_column or "question"
    index = 0
    for shard in shards:
        for key, files in _groups(shard):
            picture = next((files[kind] for kind in _PICTURES if kind in files), None)
            if picture is None:
                raise DatasetError(
                    f"{shard}, {key}: no picture ({', '.join(_PICTURES)}); there are: "
                    f"{', '.join(files)}"
                )
            fields = _fields(shard, key, files)
            question = options.question or fields.pop(column, None)
            if question is None and "txt" in files:
                question = _text(shard, key, files["txt"]).strip()
            if question is None:
                raise DatasetError(
                    f"{shard}, {key}: no question: neither {key}.txt nor {column!r} in "
                    f"{key}.json; or give one --question for all"
                )
            yield Sample(key, index, partial(_read, shard, *picture), str(question), fields)
            index += 1


def _expand_braces(pattern: str) -> list[str]:
    """What `{000..009}` and `{a,b}` in a pattern stand for, as a shell would have it."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    words = braces[1].split(",")
    ends = re.fullmatch(r"(\d+)\.\.(\d+)", braces[1])
    if ends is not None:
        width = len(ends[1])
        words = [str(n).zfill(width) for n in range(int(ends[1]), int(ends[2]) + 1)]
    start, end = pattern[: braces.start()], pattern[braces.end() :]
    return [part for word in words for part in _expand_braces(start + word + end)]


_Place = tuple[int, int]  # of a file in its shard: offset and size in bytes


def _groups(shard: Path) -> Iterator[tuple[str, dict[str, _Place]]]:
    """Keys, and by suffix where their files are; files of a sample follow each other."""
    key, files = "", dict[str, _Place]()
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                folder, slash, name = member.name.removeprefix("./").rpartition("/")
                if not member.isfile() or name.startswith("."):
                    continue
                stem, _, suffix = name.partition(".")
                if files and folder + slash + stem != key:
                    yield key, files
                    files = {}
                key = folder + slash + stem
                files[suffix.lower()] = (member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise DatasetError(f"{shard} cannot be read as an uncompressed tar: {error}") from error
    if files:
        yield key, files


def _fields(shard: Path, key: str, files: dict[str, _Place]) -> dict[str, Any]:
    if "json" not in files:
        return {}
    try:
        fields = json.loads(_text(shard, key, files["json"]))
    except json.JSONDecodeError as error:
        raise DatasetError(f"{shard}, {key}.json: not valid JSON: {error}") from error
    if not isinstance(fields, dict):
        raise DatasetError(f"{shard}, {key}.json: expected an object in braces, got {fields!r:.80}")
    return fields


def _text(shard: Path, key: str, place: _Place) -> str:
    try:
        return _read(shard, *place).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{shard}, {key}: not a text in UTF-8: {error}") from error


def _read(shard: Path, offset: int, size: int) -> bytes:
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)
