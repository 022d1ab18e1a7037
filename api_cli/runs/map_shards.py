"""The format of kept maps: entries of what was found out of pictures and questions, in shards.

A shard is a safetensors file for one model and its settings. It holds, for each shape h x w of
maps, four tensors over its n entries: `maps.{h}x{w}` (n, M, h, w) float32, `facts.{h}x{w}`
(n, longest) uint8, JSON filled up with zeros, `keys.{h}x{w}` (n, 16) uint8 and `sums.{h}x{w}` (n,)
uint32, the CRC-32 of key, map and facts. A key is a digest of image content, question and read
(layer, softmax, ...).
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from api_cli.masking import Array
from api_cli.relevance import Read, Reads, Relevance, as_reads

_FORMAT = "apiprompt maps 2"
_TYPES = {"maps": ("F32", 4), "facts": ("U8", 2), "keys": ("U8", 2), "sums": ("U32", 1)}
UNREADABLE = (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError)
"""What reading a damaged shard may raise."""


class Entry(NamedTuple):
    """What was found out of a picture and a question in one layer."""

    map: Array  # (M, h, w) float32
    facts: bytes  # JSON; empty for none

    def checksum(self, key: bytes) -> int:
        """CRC-32 of all of it, and of its key."""
        return zlib.crc32(self.facts, zlib.crc32(self.map.tobytes(), zlib.crc32(key)))


def header_of(identity: Mapping[str, Any]) -> dict[str, str]:
    """What a shard says of itself: its format, and what determines its maps."""
    return {"format": _FORMAT, "identity": json.dumps(identity, sort_keys=True)}


def to_entries(found: Iterable[tuple[str, str, Reads, Relevance]]) -> dict[bytes, Entry]:
    """Entries by key of what `Maps.put` is given."""
    return {
        _key(image_sha256, question, read): Entry(
            np.ascontiguousarray(map_, dtype=np.float32),
            json.dumps(dict(facts)).encode() if facts else b"",
        )
        for image_sha256, question, reads, (maps, facts) in found
        for read, map_ in zip(reads, maps, strict=True)
    }


def find_entries(
    get: Callable[[bytes], Entry | None], image_sha256: str, question: str, reads: Reads
) -> Relevance | None:
    """What `Maps.get` gives, of entries by key."""
    found = []
    for read in reads:
        entry = get(_key(image_sha256, question, read))
        if entry is None:
            return None
        found.append(entry)
    facts = json.loads(found[0].facts) if found[0].facts else {}
    return Relevance(np.stack([entry.map for entry in found]), facts)


def pack(
    entries: Mapping[bytes, Entry], header: Mapping[str, str]
) -> tuple[bytes, Mapping[str, Sequence[bytes]]]:
    """A shard's content, and the keys in it by the shape of their maps, in the order of rows."""
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
    return save(tensors, metadata=dict(header)), groups


def unpack(content: bytes) -> dict[bytes, Entry]:
    """The whole entries of what `pack` made; none where it is damaged beyond reading."""
    try:
        tensors = load(content)
        shapes = [name.partition(".")[2] for name in tensors if name.startswith("maps.")]
        return {key: e for shape in shapes for key, e in whole_entries(tensors.__getitem__, shape)}
    except UNREADABLE:
        return {}


def whole_entries(get: Callable[[str], Any], shape: str) -> Iterator[tuple[bytes, Entry]]:
    """The entries of one shape that are as they were written."""
    tensors = (get(f"{kind}.{shape}") for kind in ("keys", "maps", "facts", "sums"))
    for key, map_, facts, checksum in zip(*tensors, strict=True):
        entry = Entry(map_, unfilled(facts))
        if int(checksum) == entry.checksum(key.tobytes()):
            yield key.tobytes(), entry


def shapes_of(file: Any) -> list[str]:
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


def unfilled(facts: Any) -> bytes:
    """JSON without the zeros that fill it up."""
    return bytes(facts.tobytes()).rstrip(b"\0")
