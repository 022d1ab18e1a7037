"""Relevance maps that are kept, so that a run with other mask parameters needs no model.

A store is a folder of safetensors shards for one model, fit and precision. A shard holds, for
each shape h x w of maps, three tensors over its n entries: `maps.{h}x{w}` (n, M, h, w) float32,
`keys.{h}x{w}` (n, 16) uint8 and `sums.{h}x{w}` (n,) uint32, the CRC-32 of key and map. A key is a
digest of image content, question and layer. Shards appear whole or not at all; `_FAN` small ones
are merged into a larger one, and so on, so a million images take some hundreds of files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from api_cli.ledger import remove_leftovers, write_whole
from api_cli.masking import Array

FOLDER = ".maps"
_FORMAT = "apiprompt maps 1"
_FAN = 32
_LARGEST = 8192  # entries; a shard of so many is merged no further


class _Place(NamedTuple):
    shard: Path
    shape: str
    row: int


class MapStore:
    """The maps of one model, fit and precision.

    Args:
        folder: of the store; made by the first maps kept.
        identity: what determines maps beside picture, question and layer; shards of another
            identity are not used.

    Attributes:
        damaged: shards that were not readable or of another identity, and were set aside.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._header = {"format": _FORMAT, "identity": json.dumps(identity, sort_keys=True)}
        self._places: dict[bytes, _Place] = {}
        self.damaged: list[Path] = []
        remove_leftovers(folder)
        self._index_all()

    def __len__(self) -> int:
        return len(self._places)

    def get(self, image_sha256: str, question: str, layers: Sequence[int]) -> Array | None:
        """Maps (len(layers), M, h, w) float32, or None where one is missing or damaged."""
        found = []
        for layer in layers:
            map_ = self._read(_key(image_sha256, question, layer))
            if map_ is None:
                return None
            found.append(map_)
        return np.stack(found)

    def put(self, entries: Iterable[tuple[str, str, Sequence[int], Array]]) -> None:
        """Keep maps: image digest, question, layers and maps (len(layers), M, h, w) each."""
        new = {
            _key(image_sha256, question, layer): np.ascontiguousarray(map_, dtype=np.float32)
            for image_sha256, question, layers, maps in entries
            for layer, map_ in zip(layers, maps, strict=True)
        }
        if not new:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write(new)
        with FileLock(self._folder / ".lock"):
            self._merge()

    def _write(self, entries: Mapping[bytes, Array]) -> None:
        groups: defaultdict[str, list[bytes]] = defaultdict(list)
        for key, map_ in entries.items():
            groups[f"{map_.shape[-2]}x{map_.shape[-1]}"].append(key)
        tensors: dict[str, Any] = {}
        for shape, keys in groups.items():
            maps = [entries[key] for key in keys]
            tensors[f"maps.{shape}"] = np.stack(maps)
            tensors[f"keys.{shape}"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16)
            sums = [_checksum(key, map_) for key, map_ in zip(keys, maps, strict=True)]
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
                for name in file.keys():  # noqa: SIM118 - not a dict
                    kind, _, shape = name.partition(".")
                    if kind == "keys":
                        for row, key in enumerate(file.get_tensor(name)):
                            self._places[key.tobytes()] = _Place(shard, shape, row)
        except FileNotFoundError:
            pass  # another process has merged it
        except (SafetensorError, ValueError, OSError):
            shard.rename(shard.with_suffix(".damaged"))
            self.damaged.append(shard)

    def _read(self, key: bytes, *, again: bool = True) -> Array | None:
        place = self._places.get(key)
        if place is None:
            return None
        try:
            with safe_open(place.shard, "numpy") as file:
                map_: Array = file.get_slice(f"maps.{place.shape}")[place.row]
                checksum = int(file.get_slice(f"sums.{place.shape}")[place.row])
        except FileNotFoundError:  # merged meanwhile, perhaps by another process
            self._index_all()
            return self._read(key, again=False) if again else None
        except (SafetensorError, OSError, IndexError):
            return None
        return map_ if checksum == _checksum(key, map_) else None

    def _merge(self) -> None:
        """Merge shards of similar size once there are `_FAN` of them; called under the lock."""
        levels: defaultdict[int, list[Path]] = defaultdict(list)
        for shard in self._folder.glob("maps-*.safetensors"):
            entries = int(shard.name.split("-")[1])
            if entries < _LARGEST:
                levels[max(0, entries.bit_length() // 5)].append(shard)
        for shards in levels.values():
            if len(shards) < _FAN:
                continue
            merged: dict[bytes, Array] = {}
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
        files = [file for file in folder.iterdir() if file.suffix in (".safetensors", ".damaged")]
        maps = sum(int(file.name.split("-")[1]) for file in files if file.suffix != ".damaged")
        sizes.append(StoreSize(folder, maps, len(files), sum(f.stat().st_size for f in files)))
    return sizes


def remove_store(folder: Path) -> None:
    """Delete a store; its maps are made again when they are next needed."""
    shutil.rmtree(folder)


def _key(image_sha256: str, question: str, layer: int) -> bytes:
    content = json.dumps([image_sha256, question, layer]).encode()
    return hashlib.sha256(content).digest()[:16]


def _checksum(key: bytes, map_: Array) -> int:
    return zlib.crc32(map_.tobytes(), zlib.crc32(key))


def _load(shard: Path) -> dict[bytes, Array]:
    """A shard's whole entries."""
    entries: dict[bytes, Array] = {}
    try:
        with safe_open(shard, "numpy") as file:
            shapes = [name.partition(".")[2] for name in file.keys() if name.startswith("maps.")]  # noqa: SIM118
            for shape in shapes:
                keys, maps, sums = (
                    file.get_tensor(f"{kind}.{shape}") for kind in ("keys", "maps", "sums")
                )
                for key, map_, checksum in zip(keys, maps, sums, strict=True):
                    if int(checksum) == _checksum(key.tobytes(), map_):
                        entries[key.tobytes()] = map_
    except (SafetensorError, OSError, ValueError):
        pass  # not readable: what it held is made again when needed
    return entries
