"""Tar shards in WebDataset's convention: `webdataset:PATTERN`.

Files of one sample share their name up to the first dot: `0001.jpg` with `0001.txt` or
`0001.json`. Shards are not unpacked: of each picture only its place is noted.
"""

from __future__ import annotations

import glob
import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from datasets_manager.base import DatasetError, Note, Sample, digest_origin, file_stamp
from datasets_manager.listing import is_picture, natural_order, printable
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import DatasetInfo, Part
from datasets_manager.rows import Row

_FIRST = ("jpg", "jpeg", "png", "webp")  # of several pictures of a sample; then by suffix


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
        parts=partial(_parts, pattern),
    )


def _load(pattern: str, root: Path, options: DatasetOptions) -> Iterator[Sample | Note]:
    """Samples of the shards of a pattern such as `shards/*.tar` or `shards/{000..009}.tar`."""
    return _samples(pattern, _shards(pattern), options)


def _parts(pattern: str, root: Path, options: DatasetOptions, size: int) -> Iterator[Part]:
    """A shard each, whatever the size asked for: they are as their maker has cut them."""
    for shard in _shards(pattern):
        try:
            identity = f"{shard} {shard.stat().st_size} bytes"
        except OSError as error:
            raise DatasetError(f"{shard} cannot be read: {error}") from error
        yield Part(identity, None, partial(_shard_alone, shard.absolute(), options))


def _shard_alone(shard: Path, options: DatasetOptions, first: int) -> Iterator[Sample | Note]:
    return _samples(str(shard), [shard], options)


def _shards(pattern: str) -> list[Path]:
    shards: list[Path] = []
    for part in _expand_braces(pattern):
        found = sorted(glob.glob(part), key=natural_order)  # noqa: PTH207, absolute too
        if not found:
            raise DatasetError(
                f"webdataset:{pattern}: no file matches{'' if part == pattern else f' {part}'}; "
                "expected a pattern like dir/*.tar or dir/{000..009}.tar"
            )
        shards += map(Path, found)
    return shards


def _samples(
    pattern: str, shards: Sequence[Path], options: DatasetOptions
) -> Iterator[Sample | Note]:
    """Samples of shards, and what is left out of them.

    The question is the text's content, or the JSON's `question`; other fields of the JSON travel
    along. Keys are the files' paths within the shard up to the first dot.
    """
    left_out = Counter[str]()
    samples: list[Sample] = []
    origins = {shard: digest_origin(file_stamp(shard)) for shard in shards}
    for group in chain.from_iterable(map(_groups, shards)):
        origin = origins[group.shard]
        samples.append(_sample(group, len(samples), options, left_out, origin))
    if samples and all(sample.fault for sample in samples):
        raise DatasetError(str(samples[0].fault))
    yield from samples
    if left_out:
        counted = ", ".join(f"{number} {what}" for what, number in left_out.most_common())
        yield Note(f"webdataset:{pattern}: left out: {counted}")


def _sample(
    group: Group,
    index: int,
    options: DatasetOptions,
    left_out: Counter[str],
    origin: str | None,
) -> Sample:
    """The sample of a group in a shard of that origin; what of it is not used is counted."""
    shard, key, files, fault = group
    place = f"{shard}, {key}"
    pictures = sorted((suffix for suffix in files if is_picture(f"x.{suffix}")), key=_rank)
    if len(pictures) > 1:
        left_out["further pictures of samples with several"] += len(pictures) - 1
    others = [suffix for suffix in files if suffix not in (*pictures, "json", "txt")]
    left_out.update(f"files .{suffix}" for suffix in others)
    row = Row({}, place, fault)
    if fault is None and not pictures:
        row.blame(f"no picture that opens here; there are: {', '.join(files)}")
    elif fault is None:
        row = _fields(group)
    column = options.question_column or "question"
    question = options.question
    if question is None and row.get(column) is None and "txt" in files and row.fault is None:
        question = _text(group, "txt", row).strip()
    if question is None and row.fault is None:
        if column not in row:
            row.blame(
                f"no question: neither {key}.txt nor {column!r} in {key}.json; or give one "
                "--question for all"
            )
        question = row.text(column)
    return Sample(
        key,
        index,
        partial(_read, shard, *files[pictures[0]]) if pictures else b"",
        question or "",
        row.others(column) if options.question is None else row.others(),
        fault=row.fault,
        origin=f"{origin} {files[pictures[0]][0]}" if origin and pictures else None,
    )


def _rank(suffix: str) -> tuple[int, str]:
    return (_FIRST.index(suffix) if suffix in _FIRST else len(_FIRST), suffix)


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


class Group(NamedTuple):
    """The files of a sample.

    Attributes:
        shard: that has them.
        key: their name up to the first dot.
        files: by suffix, their offset and size in the shard, in bytes.
        fault: what is wrong with the shard at this place.
    """

    shard: Path
    key: str
    files: dict[str, tuple[int, int]]
    fault: str | None = None


def _groups(shard: Path) -> Iterator[Group]:
    """The samples of a shard, whose files follow each other; the last, where it is cut, at fault.

    A shard that is none at all is one fault.
    """
    group = Group(shard, "", {})
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                folder, slash, name = member.name.removeprefix("./").rpartition("/")
                if not member.isfile() or name.startswith("."):
                    continue
                stem, _, suffix = name.partition(".")
                key = printable(folder + slash + stem)
                if key != group.key or not group.files:
                    if group.files:
                        yield group
                    group = Group(shard, key, {})
                group.files[suffix.lower()] = (member.offset_data, member.size)
            rest = _read_at_most(shard, archive.offset, tarfile.BLOCKSIZE)
    except (tarfile.TarError, OSError, ValueError, OverflowError) as error:
        if group.files:  # the last of them is cut
            yield group._replace(fault=f"the shard is cut short here ({error}); get it again")
        else:
            yield Group(shard, shard.name, {}, f"cannot be read as an uncompressed tar: {error}")
        return
    if group.files:
        yield group
    if not rest or rest.strip(b"\0"):
        what = "the shard is cut short or damaged after its last sample; get it again"
        yield Group(shard, f"{shard.name} (cut)", {}, what)


def _fields(group: Group) -> Row:
    """What a sample's JSON says; nothing where it has none."""
    shard, key, files, _ = group
    row = Row({}, f"{shard}, {key}")
    if "json" not in files:
        return row
    text = _text(group, "json", row)
    if row.fault is not None:
        return row
    try:
        return Row(json.loads(text), f"{shard}, {key}.json")
    except (ValueError, RecursionError) as error:
        return Row({}, f"{shard}, {key}.json", f"not valid JSON: {error}")


def _text(group: Group, suffix: str, row: Row) -> str:
    """The text of one of a sample's files; empty, and the row's fault, where it is none."""
    try:
        return _read(group.shard, *group.files[suffix]).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row.blame(f"not a text in UTF-8: {error}")
    except (OSError, DatasetError) as error:
        row.blame(f"{suffix} cannot be read: {error}")
    return ""


def _read(shard: Path, offset: int, size: int) -> bytes:
    content = _read_at_most(shard, offset, size)
    if len(content) < size:
        raise DatasetError(f"{shard}: cut short at byte {offset + len(content)}; get it again")
    return content


def _read_at_most(shard: Path, offset: int, size: int) -> bytes:
    with shard.open("rb") as file:
        file.seek(offset)
        return file.read(size)
