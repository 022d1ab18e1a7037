"""Relevance maps that are kept, so that a run with other mask parameters needs no model.

A store is a folder of safetensors shards for one model and its settings. A shard holds, for each
shape h x w of maps, four tensors over its n entries: `maps.{h}x{w}` (n, M, h, w) float32,
`facts.{h}x{w}` (n, longest) uint8, JSON filled up with zeros, `keys.{h}x{w}` (n, 16) uint8 and
`sums.{h}x{w}` (n,) uint32, the CRC-32 of key, map and facts. A key is a digest of image content,
question and read (layer, softmax, ...). Shards appear whole or not at all; `_FAN` small ones
are merged into a larger one, and so on, so a million images take some hundreds of files.

A store is only a cache. What is damaged is set aside and made again, one that is pruned under a run
is begun anew, and where nothing can be kept the run goes on without; each is said once.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from api_cli.errors import explain
from api_cli.masking import Array
from api_cli.relevance import Read, Reads, Relevance, as_reads
from api_cli.runs.files import remove_leftovers, write_whole
from api_cli.runs.locks import Lock

FOLDER = ".maps"
_FORMAT = "apiprompt maps 2"
_FAN = 32
_LARGEST = 8192  # entries; a shard of so many is merged no further
_SHARD = re.compile(r"maps-(\d+)-.*\.safetensors")
_SUFFIXES = (".safetensors", ".damaged")
_PRUNED = ".pruned-"
_TYPES = {"maps": ("F32", 4), "facts": ("U8", 2), "keys": ("U8", 2), "sums": ("U32", 1)}
_UNREADABLE = (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError)


class _Place(NamedTuple):
    shard: Path
    shape: str
    row: int


class _Entry(NamedTuple):
    map: Array  # (M, h, w) float32
    facts: bytes  # JSON; empty for none

    def checksum(self, key: bytes) -> int:
        return zlib.crc32(self.facts, zlib.crc32(self.map.tobytes(), zlib.crc32(key)))


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
        self._header = {"format": _FORMAT, "identity": json.dumps(identity, sort_keys=True)}
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
        found = []
        for read in reads:
            entry = self._read(_key(image_sha256, question, read))
            if entry is None:
                return None
            found.append(entry)
        facts = json.loads(found[0].facts) if found[0].facts else {}
        return Relevance(np.stack([entry.map for entry in found]), facts)

    def put(self, entries: Iterable[tuple[str, str, Reads, Relevance]]) -> None:
        """Keep what was found out: image digest, question, and maps of these reads each."""
        new = {
            _key(image_sha256, question, read): _Entry(
                np.ascontiguousarray(map_, dtype=np.float32),
                json.dumps(dict(facts)).encode() if facts else b"",
            )
            for image_sha256, question, reads, (maps, facts) in entries
            for read, map_ in zip(reads, maps, strict=True)
        }
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

    def _write(self, entries: Mapping[bytes, _Entry]) -> None:
        groups: defaultdict[str, list[bytes]] = defaultdict(list)
        for key, (map_, _) in entries.items():
            groups[f"{map_.shape[-2]}x{map_.shape[-1]}"].append(key)
        tensors: dict[str, Any] = {}
        for shape, keys in groups.items():
            longest = max(len(entries[key].facts) for key in keys)
            facts = b"".join(entries[key].facts.ljust(longest, b"\0") for key in keys)
            tensors[f"maps.{shape}"] = np.stack([entries[key].map for key in keys])
            tensors[f"facts.{shape}"] = np.frombuffer(facts, np.uint8).reshape(len(keys), longest)
            tensors[f"keys.{shape}"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)
            sums = [entries[key].checksum(key) for key in keys]
            tensors[f"sums.{shape}"] = np.array(sums, np.uint32)
        shard = self._folder / f"maps-{len(entries):06d}-{uuid.uuid4().hex[:12]}.safetensors"
        write_whole(shard, save(tensors, metadata=self._header))
        for shape, keys in groups.items():
            self._places |= {key: _Place(shard, shape, row) for row, key in enumerate(keys)}

    def _index_all(self) -> None:
        for shard in sorted(self._folder.glob("maps-*.safetensors")):
            self._index(shard)

    def _index(self, shard: Path) -> None:
        """Take in a shard's keys; one that cannot be trusted is set aside."""
        try:
            with safe_open(shard, "numpy") as file:
                if file.metadata() != self._header:
                    raise ValueError("of another identity")
                for shape in _shapes(file):
                    for row, key in enumerate(file.get_tensor(f"keys.{shape}")):
                        self._places[key.tobytes()] = _Place(shard, shape, row)
        except FileNotFoundError:
            pass  # another process has merged it
        except _UNREADABLE:
            self._set_aside(shard)

    def _read(self, key: bytes, *, again: bool = True) -> _Entry | None:
        place = self._places.get(key)
        if place is None:
            return None
        try:
            with safe_open(place.shard, "numpy") as file:
                entry = _Entry(
                    file.get_slice(f"maps.{place.shape}")[place.row],
                    _unfilled(file.get_slice(f"facts.{place.shape}")[place.row]),
                )
                if int(file.get_slice(f"sums.{place.shape}")[place.row]) == entry.checksum(key):
                    return entry
        except FileNotFoundError:  # merged meanwhile, perhaps by another process, or pruned
            self._places.pop(key, None)
            self._index_all()
            return self._read(key, again=False) if again else None
        except _UNREADABLE:
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
            merged: dict[bytes, _Entry] = {}
            for shard in shards:
                merged |= _load(shard)
            self._write(merged)
            for shard in shards:
                shard.unlink(missing_ok=True)


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
            found = [file for file in folder.glob("*.*") if file.suffix in _SUFFIXES]
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


def _entries_of(shard: Path) -> int:
    """How many maps a shard's name says that it holds; 0 for one that is set aside."""
    match = _SHARD.fullmatch(shard.name)
    return int(match[1]) if match else 0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # merged meanwhile
        return 0


def _shapes(file: Any) -> list[str]:
    """The shapes h x w of a shard's maps. Raises ValueError where it is not what a store writes."""
    names = set(file.keys())
    shapes = [name.partition(".")[2] for name in sorted(names) if name.startswith("maps.")]
    if names != {f"{kind}.{shape}" for kind in _TYPES for shape in shapes}:
        raise ValueError("tensors of other names")
    for shape in shapes:
        slices = {kind: file.get_slice(f"{kind}.{shape}") for kind in _TYPES}
        found = {kind: (s.get_dtype(), len(s.get_shape())) for kind, s in slices.items()}
        lengths = {s.get_shape()[0] for s in slices.values()}
        if found != _TYPES or len(lengths) != 1 or slices["keys"].get_shape()[1] != 16:
            raise ValueError("tensors of other types or shapes")
    return shapes


def _key(image_sha256: str, question: str, read: Read | int) -> bytes:
    [asked] = as_reads([read])
    what = asked[:1] if asked == Read(asked.layer) else asked  # as it was before there were others
    content = json.dumps([image_sha256, question, *what]).encode()
    return hashlib.sha256(content).digest()[:16]


def _unfilled(facts: Any) -> bytes:
    """JSON without the zeros that fill it up."""
    return bytes(facts.tobytes()).rstrip(b"\0")


def _load(shard: Path) -> dict[bytes, _Entry]:
    """A shard's whole entries."""
    entries: dict[bytes, _Entry] = {}
    try:
        with safe_open(shard, "numpy") as file:
            for shape in _shapes(file):
                tensors = (
                    file.get_tensor(f"{kind}.{shape}") for kind in ("keys", "maps", "facts", "sums")
                )
                for key, map_, facts, checksum in zip(*tensors, strict=True):
                    entry = _Entry(map_, _unfilled(facts))
                    if int(checksum) == entry.checksum(key.tobytes()):
                        entries[key.tobytes()] = entry
    except _UNREADABLE:
        pass  # not readable: what it held is made again when needed
    return entries
