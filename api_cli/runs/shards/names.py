"""Names of shards and of what stands beside them, in the Hugging Face hub's convention."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

DATA, ERRORS, KEYS = "data", "errors", ".keys"
"""Folders of a sharded run: shards, rows of failed samples, digests of keys."""
SUFFIX = {"parquet": ".parquet", "webdataset": ".tar"}

_SHARD = re.compile(r"train-(\d{5,})-of-(\d{5,})(\.\w+)")


class ShardName(NamedTuple):
    """One of a run's shards: `train-00003-of-00008`."""

    number: int
    total: int

    def file(self, suffix: str) -> str:
        """The name of its file of a kind."""
        return f"train-{self.number:05d}-of-{self.total:05d}{suffix}"


def numbers(names: Iterable[str], suffix: str) -> set[int]:
    """Numbers of the shards among some files' names."""
    matches = map(_SHARD.fullmatch, names)
    return {int(match[1]) for match in matches if match and match[3] == suffix}


def own(names: Iterable[str]) -> list[str]:
    """Those of some files' names that are of a shard, whatever their kind."""
    return [name for name in names if _SHARD.fullmatch(name)]
