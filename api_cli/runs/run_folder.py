"""Where results go: names, manifest, error ledger, run record, resume (METHOD.md section 6)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.errors import RunFolderError
from api_cli.masking import CLIP, LLAVA
from api_cli.runs.card import write_card
from api_cli.runs.columns import Columns, plain_row, text
from api_cli.runs.endings import KINDS, SOURCE, usual_ending
from api_cli.runs.failures import Failures
from api_cli.runs.files import names_in, remove_leftovers, write_whole
from api_cli.runs.group import Group
from api_cli.runs.ledger import Ledger, Row, read_rows, to_line
from api_cli.runs.locks import Lock
from api_cli.runs.names import SampleNames, asked
from api_cli.runs.pictures import head_of
from api_cli.runs.presence import Presence
from api_cli.runs.record import RECORD, check_settings, recorded_format, write_record
from api_cli.runs.sink import Source
from api_cli.runs.sources import Sources

MANIFEST = "metadata.jsonl"  # the name Hugging Face's ImageFolder looks for
ERRORS = "errors.jsonl"
_OTHERS = (".crop",)  # of a sample's pictures, between name and ending
_BESIDE = (".npy", *(f".{name}.jpg" for method in (CLIP, LLAVA) for name, _ in method.maps))
_FIRST_READ = 8_000_000  # bytes of a manifest in which `datasets` must see all that columns hold


class _Entry(NamedTuple):
    """What is to be written: a finished sample's row, or a failed one's."""

    row: Row
    failed: bool


class RunFolder:
    """The results of one setting.

    Rows are written in groups, half a second after they were handed over at the latest and when
    the folder is closed. A folder that cannot be written to is opened for reading: finding out
    that nothing is left to do needs no more.

    Args:
        path: the folder; made if need be.
        settings: everything that determines the pictures; a folder with other settings is
            refused.
        record: what else `run.yaml` should say, such as the resolved configuration.
        image_format: a key of `FORMATS`, or "source" for each source's own.
        names: of the dataset's samples' files.
        overwrite: delete what an earlier run left there first.

    Raises:
        RunFolderError: where the folder holds results of other settings, or is to be begun anew
            while another run is at work in it.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        record: Mapping[str, Any],
        *,
        image_format: str,
        names: SampleNames | None = None,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self._settings = settings
        self._format = image_format
        self._endings = set() if image_format == SOURCE else {image_format}
        self._names = SampleNames() if names is None else names
        self._columns = Columns()
        self._grown_at = 0  # byte of the manifest's last row that widened the columns
        self._listing: set[str] | None = None
        path.mkdir(parents=True, exist_ok=True)
        writable = os.access(path, os.W_OK)
        self._lock: AbstractContextManager[Any] = (
            Lock(path / ".lock") if writable else nullcontext()
        )
        self._presence: Presence | None = None
        self._manifest: Ledger[Source] = Ledger(path / MANIFEST, self._lock, self._remember)
        self._errors = Failures(path / ERRORS, self._lock, self._manifest.__contains__)
        self._group = Group(self._write)
        with self._lock:
            if writable:
                self._enter(record, overwrite)
                present = remove_leftovers(path)
            else:
                check_settings(path, settings)
                present = names_in(path)
            self._manifest.load(lambda row: _is_whole(row, present), mend=writable)
            self._errors.load(mend=writable)
            self._sources = Sources(path)
            if writable:
                self._mend()

    @property
    def title(self) -> str:
        """For messages."""
        return str(self.path)

    def __contains__(self, key: str) -> bool:
        return text(key) in self._manifest

    def __len__(self) -> int:
        return len(self._manifest)

    def __iter__(self) -> Iterator[str]:
        """Keys of finished samples, as the manifest has them."""
        return iter(self._manifest)

    def source(self, key: str) -> Source | None:
        """What a finished sample was made from; None for one that is not finished."""
        return self._manifest.get(text(key))

    def knows(self, key: str, stamp: str | None) -> bool:
        """Whether a finished sample's picture is as it was, by its stamp (`Sample.stamp`)."""
        key = text(key)
        source = self._manifest.get(key)
        return source is not None and self._sources.knows(key, stamp, source.image)

    def confirm(self, key: str, stamp: str | None) -> None:
        """Note the stamp of a finished sample's picture that was read and found the same."""
        source = self.source(key)
        if source is not None:
            self._sources.note(text(key), stamp, source.image)

    def save_images(self, key: str, images: Mapping[str, bytes]) -> dict[str, str]:
        """Write a sample's pictures; see `Sink`."""
        stem = self._stem(key)
        names = {}
        for column, image in images.items():
            kind = "" if column == "file_name" else f".{column.removesuffix('_file_name')}"
            names[column] = f"{stem}{kind}.{self._ending(key, image)}"
            self._save(names[column], image)
        return names

    def save_beside(self, key: str, suffix: str, content: bytes) -> None:
        """Write a file that belongs to a sample, such as its relevance map, beside its image."""
        self._save(f"{self._stem(key)}{suffix}", content)

    def has_beside(self, key: str, suffix: str) -> bool:
        """Whether a sample has such a file."""
        if self._listing is None:
            self._listing = names_in(self.path)
        return f"{self._stem(key)}{suffix}" in self._listing

    def add(self, row: Row, stamp: str | None = None) -> None:
        """Enter a finished sample, whose image is written, into the manifest.

        Args:
            row: `file_name` first, `key`, `question` and `image_sha256` among the rest.
            stamp: of the picture it was made from (`Sample.stamp`), taken before it was read.
        """
        plain = plain_row(row)
        self._sources.note(plain["key"], stamp, str(row["image_sha256"]))
        self._group.add(_Entry(plain, failed=False))

    def fail(self, row: Row) -> None:
        """Note that a sample failed: key, index, stage, error. A later run tries it again."""
        self._group.add(_Entry(plain_row(row), failed=True))

    def close(self) -> None:
        """Write what is held back, and leave the folder as `datasets` opens it."""
        self._group.flush()
        if self._presence is None:
            return
        self._presence.require_same_folder()
        with self._lock:
            self._manifest.catch_up()
            self._errors.tidy()
            self._mend()
            self._sources.save()
            write_card(self.path, self._settings, self._columns.describe(), self._endings)
        self._presence.close()
        self._presence = None

    def _stem(self, key: str) -> str:
        """The name of a sample's files without ending: as its row has it, where it has one."""
        known = self._manifest.get(text(key))
        return self._names(key) if known is None else known.name or text(key)

    def _ending(self, key: str, image: bytes) -> str:
        if self._format != SOURCE:
            return self._format
        return self._names.ending(key) or usual_ending(head_of(image).kind)

    def _save(self, name: str, content: bytes) -> None:
        self._at_work().require_same_folder()
        write_whole(self.path / name, content)

    def _at_work(self) -> Presence:
        """This run's presence in the folder, taken up again after `close`."""
        if self._presence is None:
            self._presence = Presence(self.path)
            self._presence.share()
        return self._presence

    def _write(self, entries: list[_Entry]) -> None:
        """A group of rows, under one lock."""
        self._at_work().require_same_folder()
        with self._lock:
            finished = [row for row, failed in entries if not failed]
            self._manifest.extend(finished)
            self._errors.update(
                (row for row, failed in entries if failed), (row["key"] for row in finished)
            )

    def _remember(self, row: Row) -> Source:
        """What is asked of a row later."""
        if self._columns.add(row):
            self._grown_at = self._manifest.position
        key, (name, ending) = row["key"], row["file_name"].rsplit(".", 1)
        self._endings.add(ending)
        question = asked(str(row.get("question")), row.get("query"))
        return Source(question, str(row.get("image_sha256")), None if name == key else name)

    def _mend(self) -> None:
        """Make the manifest one that `datasets` opens, where it is not; the lock is held.

        Where a column holds several kinds of values, rows are written as `Columns.fit` says. Where
        rows far down hold what none of the first ones does, they are put first.
        """
        if not self._columns.mixed and self._grown_at < _FIRST_READ:
            return
        seen = Columns()
        first: list[bytes] = []
        rest: list[bytes] = []
        for row in self._manifest.rows():
            fitted = self._columns.fit(row)
            grew = seen.add(fitted) and self._grown_at >= _FIRST_READ
            (first if grew else rest).append(to_line(fitted))
        self._manifest.rewrite(first + rest)
        self._columns, self._grown_at = seen, 0

    def _enter(self, record: Mapping[str, Any], overwrite: bool) -> None:
        """Be at work in the folder, once what is there goes with it or is deleted."""
        presence = Presence(self.path)
        if overwrite:
            presence.require_alone("what it holds cannot be replaced")
            self._clear()
        if not (self.path / RECORD).exists():
            presence.require_alone("it cannot be begun anew")
            if (self.path / MANIFEST).exists():
                raise RunFolderError(
                    f"{self.path} has a manifest but no run.yaml, so what it holds is not known; "
                    "use --overwrite to start it afresh, or another --output-folder"
                )
            write_record(self.path, self._settings, record)
            write_card(self.path, self._settings, {}, self._endings)
        check_settings(self.path, self._settings)
        presence.share()
        self._presence = presence

    def _clear(self) -> None:
        """Delete what runs wrote: what the manifest accounts for, and names of samples' files.

        Anything else stays, such as pictures of the user's own; what links lead to stays as well.
        """
        there = {
            entry.name for entry in os.scandir(self.path) if entry.is_file(follow_symlinks=False)
        }
        stems = {self._names(key) for key in self._names.keys}
        recorded = recorded_format(self.path) or self._format
        endings = KINDS if recorded == SOURCE else {recorded}
        # of samples that have no row also those that a kill left without one
        bases = {stem + kind for stem in stems for kind in ("", *_OTHERS)}
        split = ((name, *name.rpartition(".")) for name in there)
        pictures = {n for n, base, _, end in split if base in bases and end.lower() in endings}
        for row in read_rows(self.path / MANIFEST):
            if "image_sha256" in row:  # not of a user's own image folder
                pictures |= {*picture_files(row).values()}
                stems |= {name.rsplit(".", 1)[0] for name in picture_files(row).values()}
        beside = {stem + suffix for stem in stems for suffix in _BESIDE}
        for name in there & (pictures | beside | {MANIFEST, ERRORS, RECORD}):
            if name in (MANIFEST, ERRORS, RECORD) or _is_ours(name):
                (self.path / name).unlink()


def _is_ours(name: str) -> bool:
    """Whether a file's ending is one of those that runs write."""
    return name.rpartition(".")[2].lower() in (*KINDS, "npy")


def finished_keys(path: Path) -> set[str]:
    """Keys of a run folder's finished samples, without touching the folder or needing one."""
    try:
        present = names_in(path)
    except OSError:
        return set()
    return {row["key"] for row in read_rows(path / MANIFEST) if _is_whole(row, present)}


def picture_files(row: Row) -> dict[str, str]:
    """A row's pictures' files by column, `file_name` first; empty where it names none."""
    name = row.get("file_name")
    if not isinstance(name, str):
        return {}
    files = {"file_name": name}
    for column in _of_files(tuple(row)):
        value = row[column]
        if isinstance(value, str) and value.startswith(f"{name.rsplit('.', 1)[0]}."):
            files[column] = value
    return files


@lru_cache(maxsize=64)
def _of_files(columns: tuple[str, ...]) -> Sequence[str]:
    """Those of a row's columns that may name further pictures; most rows have the same columns."""
    return [column for column in columns if column.endswith("_file_name")]


def _is_whole(row: Row, present: Set[str]) -> bool:
    """Whether a row has pictures, and all of them are among the files that are present."""
    files = picture_files(row)
    for name in files.values():
        if name not in present:
            return False
    return bool(files)
