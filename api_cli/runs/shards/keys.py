"""The check that comes later: keys that samples of different fragments share.

Each fragment leaves 8 bytes a key in `.keys/`. Once all fragments are done, these are gone through,
as often as is needed to hold no more than so many at once; what is found is kept beside them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from api_cli.runs.shards.names import KEYS, ShardName
from api_cli.runs.shards.reading import read_keys
from api_cli.runs.shards.sharded_folder import CHECKED, ShardedFolder

_AT_ONCE = 16_000_000  # keys, of 12 bytes each
_NAMED = 20  # shared keys that are looked up at most


class Shared(NamedTuple):
    """Keys that samples of different fragments share.

    Attributes:
        number: of pairs of samples.
        examples: some of the keys.
    """

    number: int
    examples: tuple[str, ...]


def check_keys(folder: ShardedFolder, *, anew: bool, at_once: int = _AT_ONCE) -> Shared:
    """Find keys that several samples of a whole run have.

    Args:
        folder: all fragments of which are done.
        anew: whether any was done since it may have been checked.
        at_once: keys that are held at most.
    """
    place = folder.place / KEYS
    if not anew:
        try:
            known = json.loads(place.read(CHECKED))
            return Shared(int(known["number"]), tuple(known["examples"]))
        except (OSError, ValueError, LookupError, TypeError):
            pass  # not checked yet
    shared = _find(folder, at_once)
    place.write(CHECKED, json.dumps(shared._asdict()).encode())
    return shared


def _find(folder: ShardedFolder, at_once: int) -> Shared:
    total = sum(len(digests) for _, digests in _all_digests(folder))
    passes = max(1, -(-total // at_once))
    number = 0
    pairs: set[tuple[int, int]] = set()
    for this in range(passes):
        parts, shards = [], []
        for shard, digests in _all_digests(folder):
            mine = digests[digests % np.uint64(passes) == this]
            parts.append(mine)
            shards.append(np.full(len(mine), shard, np.uint32))
        every, of = np.concatenate(parts), np.concatenate(shards)
        order = np.argsort(every, kind="stable")
        again = np.flatnonzero(every[order][1:] == every[order][:-1])
        number += len(again)
        before, after = of[order[again]], of[order[again + 1]]
        pairs.update(
            (int(a), int(b))
            for a, b in zip(before[:_NAMED], after[:_NAMED], strict=True)
            if len(pairs) < _NAMED
        )
    examples: dict[str, None] = {}
    for one, other in sorted(pairs):
        examples |= dict.fromkeys(_common(folder, one, other))
    return Shared(number, tuple(examples)[:_NAMED])


def _all_digests(folder: ShardedFolder) -> Iterator[tuple[int, Any]]:
    for number in range(folder.total):
        name = ShardName(number, folder.total).file(".npy")
        yield number, np.load(io.BytesIO((folder.place / KEYS).read(name)))


def _common(folder: ShardedFolder, one: int, other: int) -> list[str]:
    """Keys of both shards."""
    there = set(read_keys(folder, one))
    return [key for key in read_keys(folder, other) if key in there]
