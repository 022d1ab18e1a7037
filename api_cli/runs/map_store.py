"""Relevance maps that are kept, so that a run with other mask parameters needs no model.

A store is a folder of shards (`map_shards.py`) for one model and its settings. Shards appear whole
or not at all; `_FAN` small ones are merged into a larger one, and so on, so a million images take
some hundreds of files. A sharded run keeps a shard a fragment, in a folder of its plan's within.

A store is only a cache. What is damaged is set aside and made again, one that is pruned under a run
is begun anew, and where nothing can be kept the run goes on without; each is said once.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from safetensors import safe_open

from api_cli.errors import explain
from api_cli.relevance import Reads, Relevance
from api_cli.runs.files import remove_leftovers, write_whole
from api_cli.runs.locks import Lock
from api_cli.runs.map_shards import (
    UNREADABLE,
    Entry,
    find_entries,
    header_of,
    pack,
    shapes_of,
    to_entries,
    unfilled,
    whole_entries,
)

FOLDER = ".maps"
_FAN = 32
_LARGEST = 8192  # entries; a shard of so many is merged no further
_SHARD = re.compile(r"maps-(\d+)-.*\.safetensors")
_SUFFIXES = (".safetensors", ".damaged")
_PRUNED = ".pruned-"


class _Place(NamedTuple):
    shard: Path
    shape: str
    row: int


class Maps(Protocol):
    """What a belt asks of maps that are kept."""

    def get(self, image_sha256: str, question: str, reads: Reads) -> Relevance | None:
        """What was found out in these reads, or None where one is missing or damaged."""
        ...

    def put(self, entries: Iterable[tuple[str, str, Reads, Relevance]]) -> None:
        """Keep what was found out: image digest, question, and maps of these reads each."""
        ...


class MapStore:
    """The maps, and what else it found out, of one model under one set of settings.

    Args:
        folder: of the store; made by the first maps kept.
        identity: what determines maps beside picture, question and read; shards of another
            identity are not used.
        warn: told once of damage, and once that nothing can be kept.

    Attributes:
        damaged: shards that were not readable or of another identity, and were set aside.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, Any],
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._folder = folder
        self._warn = warn
        self._keeps = True
        self._lock = Lock(folder / ".lock")
        self._header = header_of(identity)
        self._places: dict[bytes, _Place] = {}
        self.damaged: list[Path] = []
        remove_leftovers(folder)
        self._index_all()
        if self.damaged:
            names = ", ".join(shard.name for shard in self.damaged[:3])
            more = ", ..." if len(self.damaged) > 3 else ""
            self._warn(
                f"kept maps in {folder} are damaged or another model's: set aside, and made again "
                f"({names}{more})"
            )

    def __len__(self) -> int:
        return len(self._places)

    def get(self, image_sha256: str, question: str, reads: Reads) -> Relevance | None:
        """What was found out in these reads, or None where one is missing or damaged."""
        return find_entries(self._read, image_sha256, question, reads)

    def put(self, entries: Iterable[tuple[str, str, Reads, Relevance]]) -> None:
        """Keep what was found out: image digest, question, and maps of these reads each."""
        new = to_entries(entries)
        if not new or not self._keeps:
            return
        for again in (True, False):
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._write(new)
                with self._lock:
                    self._merge()
                return
            except OSError as error:
                vanished = isinstance(error, FileNotFoundError | FileExistsError)
                if vanished and not self._folder.is_file():
                    if again:
                        continue
                    return  # pruned twice meanwhile: these are not kept, the next will be
                self._keeps = False
                self._warn(
                    f"relevance maps cannot be kept ({explain(error)}): the run goes on without; "
                    "--no-map-store does not try"
                )
                return

    def _write(self, entries: Mapping[bytes, Entry]) -> None:
        content, groups = pack(entries, self._header)
        shard = self._folder / f"maps-{len(entries):06d}-{uuid.uuid4().hex[:12]}.safetensors"
        write_whole(shard, content)
        for shape, keys in groups.items():
            self._places |= {key: _Place(shard, shape, row) for row, key in enumerate(keys)}

    def _index_all(self) -> None:
        for shard in _shards(self._folder):
            self._index(shard)

    def _index(self, shard: Path) -> None:
        """Take in a shard's keys; one that cannot be trusted is set aside."""
        try:
            with safe_open(shard, "numpy") as file:
                if file.metadata() != self._header:
                    raise ValueError("of another identity")
                for shape in shapes_of(file):
                    for row, key in enumerate(file.get_tensor(f"keys.{shape}")):
                        self._places[key.tobytes()] = _Place(shard, shape, row)
        except FileNotFoundError:
            pass  # another process has merged it
        except UNREADABLE:
            self._set_aside(shard)

    def _read(self, key: bytes, *, again: bool = True) -> Entry | None:
        place = self._places.get(key)
        if place is None:
            return None
        try:
            with safe_open(place.shard, "numpy") as file:
                entry = Entry(
                    file.get_slice(f"maps.{place.shape}")[place.row],
                    unfilled(file.get_slice(f"facts.{place.shape}")[place.row]),
                )
                if int(file.get_slice(f"sums.{place.shape}")[place.row]) == entry.checksum(key):
                    return entry
        except FileNotFoundError:  # merged meanwhile, perhaps by another process, or pruned
            self._places.pop(key, None)
            self._index_all()
            return self._read(key, again=False) if again else None
        except UNREADABLE:
            pass
        self._mend(place.shard)
        return None

    def _mend(self, shard: Path) -> None:
        """Keep what is whole of a shard, and set the shard aside."""
        with suppress(OSError), self._lock:
            if not shard.exists():
                return  # another thread has done so
            whole = _load(shard)
            for key, place in list(self._places.items()):
                if place.shard == shard and key not in whole:
                    del self._places[key]
            if whole:
                self._write(whole)
            if not self.damaged:
                self._warn(f"kept maps in {shard} are damaged: set aside, and made again")
            self._set_aside(shard)

    def _set_aside(self, shard: Path) -> None:
        self.damaged.append(shard)
        with suppress(OSError):  # on a read-only disk it is met again
            shard.rename(shard.with_suffix(".damaged"))

    def _merge(self) -> None:
        """Merge shards of similar size once there are `_FAN` of them; called under the lock."""
        levels: defaultdict[int, list[Path]] = defaultdict(list)
        for shard in self._folder.glob("maps-*.safetensors"):
            entries = _entries_of(shard)
            if 0 < entries < _LARGEST:
                levels[max(0, entries.bit_length() // 5)].append(shard)
        for shards in levels.values():
            if len(shards) < _FAN:
                continue
            merged: dict[bytes, Entry] = {}
            for shard in shards:
                merged |= _load(shard)
            self._write(merged)
            for shard in shards:
                shard.unlink(missing_ok=True)


def find_stores(output_folder: Path, settings: Mapping[str, Any]) -> list[MapStore]:
    """The maps kept of the model and settings that made a run's pictures, also of sharded runs.

    Args:
        output_folder: in which the run's folder is.
        settings: of the run, among them all that its maps' identity says.
    """
    stores = [
        (len(identity), folder, identity)
        for pattern in ("*/", "*/*/")
        for folder in sorted((output_folder / FOLDER).glob(pattern))
        if (identity := _identity_of(folder)) and identity.items() <= dict(settings).items()
    ]
    most = max((said for said, _, _ in stores), default=0)  # the identity that says the most
    return [MapStore(folder, identity) for said, folder, identity in stores if said == most]


class StoreSize(NamedTuple):
    """What a store on disk holds: maps, in files of so many bytes together."""

    folder: Path
    maps: int
    files: int
    bytes: int


def list_stores(output_folder: Path) -> list[StoreSize]:
    """The stores beside the run folders of an output folder."""
    sizes = []
    for folder in sorted((output_folder / FOLDER).glob("*/")):
        if not folder.name.startswith(_PRUNED):
            found = [file for file in folder.rglob("*.*") if file.suffix in _SUFFIXES]
            sizes.append(
                StoreSize(folder, sum(map(_entries_of, found)), len(found), sum(map(_size, found)))
            )
    return sizes


def remove_store(folder: Path) -> None:
    """Delete a store, also one that a run is writing to; its maps are made again when needed."""
    # out of the way in one step, so that a run begins it anew and puts nothing between
    pruned = folder.with_name(f"{_PRUNED}{uuid.uuid4().hex[:12]}")
    with suppress(FileNotFoundError):
        folder.rename(pruned)
    for left in folder.parent.glob(f"{_PRUNED}*/"):
        shutil.rmtree(left, ignore_errors=left != pruned)


def _shards(folder: Path) -> list[Path]:
    """A store's shards, those of fragments as well."""
    return sorted(folder.glob("*.safetensors"))


def _identity_of(folder: Path) -> dict[str, Any]:
    """What determines a store's maps, as a shard says it; nothing where none can be read."""
    for shard in _shards(folder):
        with suppress(*UNREADABLE), safe_open(shard, "numpy") as file:
            return dict(json.loads(file.metadata()["identity"]))
    return {}


def _entries_of(shard: Path) -> int:
    """How many maps a shard says that it holds; 0 for one that is set aside or damaged."""
    if match := _SHARD.fullmatch(shard.name):
        return int(match[1])
    if shard.suffix == ".safetensors":  # of a fragment, which is named by its number
        with suppress(*UNREADABLE), safe_open(shard, "numpy") as file:
            return sum(file.get_slice(f"keys.{s}").get_shape()[0] for s in shapes_of(file))
    return 0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # merged meanwhile
        return 0


def _load(shard: Path) -> dict[bytes, Entry]:
    """A shard's whole entries."""
    entries: dict[bytes, Entry] = {}
    try:
        with safe_open(shard, "numpy") as file:
            for shape in shapes_of(file):
                entries.update(whole_entries(file.get_tensor, shape))
    except UNREADABLE:
        pass  # not readable: what it held is made again when needed
    return entries
