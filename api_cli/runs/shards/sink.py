"""Where a belt puts one fragment in one setting: collected, and published as one shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

import numpy as np

from api_cli.runs.columns import plain_row
from api_cli.runs.ledger import Row, to_line
from api_cli.runs.names import SampleNames, digest_text, digested_name
from api_cli.runs.shards.schema import Schema
from api_cli.runs.shards.spool import Span, Spool
from api_cli.runs.shards.writers import Entry

Publish = Callable[["Collected"], None]


class Collected:
    """All that came of a fragment's samples in one setting.

    Attributes:
        entries: finished samples by index.
        failed: rows of failed samples by index.
        spool: holds the entries' files.
    """

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.failed: dict[int, Row] = {}
        self.spool = Spool()

    def in_order(self) -> list[Entry]:
        """Finished samples in the dataset's order."""
        return [self.entries[index] for index in sorted(self.entries)]

    def errors(self) -> bytes:
        """Lines of failed samples in the dataset's order; empty where none has failed."""
        return b"".join(to_line(self.failed[index]) for index in sorted(self.failed))

    def digests(self) -> Any:
        """64 bits of each sample's key, (N,) uint64, whatever became of it."""
        rows = [*(entry.row for entry in self.entries.values()), *self.failed.values()]
        return np.array([int(digest_text(str(row["key"])), 16) for row in rows], np.uint64)


class ShardSink:
    """A `Sink` that publishes its fragment as a whole, once every sample of it is accounted for.

    What a belt leaves unfinished, since it was interrupted, is never published.

    Args:
        samples: of the fragment.
        schema: of the run.
        stems: names of samples' files without ending, by key.
        extension: of the pictures.
        publish: writes what was collected to where it stays.
    """

    def __init__(
        self,
        samples: int,
        schema: Schema,
        stems: Callable[[str], str],
        extension: str,
        publish: Publish,
    ) -> None:
        self._samples = samples
        self._schema = schema
        self._stems = stems
        self._extension = extension
        self._publish = publish
        self._pictures: dict[str, dict[str, Span]] = {}
        self._beside: dict[str, dict[str, Span]] = {}
        self._collected = Collected()
        self._lock = Lock()
        self.published = False

    def save_images(self, key: str, images: Mapping[str, bytes]) -> dict[str, str]:
        """Spool a sample's pictures; see `Sink`."""
        stem = self._stems(key)
        spans = {name: self._collected.spool.add(content) for name, content in images.items()}
        with self._lock:
            self._pictures[key] = spans
        kinds = {name: name.removesuffix("file_name").rstrip("_") for name in images}
        return {
            name: f"{stem}.{kind}.{self._extension}" if kind else f"{stem}.{self._extension}"
            for name, kind in kinds.items()
        }

    def save_beside(self, key: str, suffix: str, content: bytes) -> None:
        """Spool a file that belongs to a sample, such as its relevance map."""
        span = self._collected.spool.add(content)
        with self._lock:
            self._beside.setdefault(key, {})[suffix] = span

    def add(self, row: Row, stamp: str | None = None) -> None:
        """Enter a finished sample, whose pictures are spooled."""
        key = row["key"]
        pictures = self._pictures.pop(key)
        plain = plain_row({name: value for name, value in row.items() if name not in pictures})
        entry = Entry(
            self._stems(key), self._schema.fit(plain), pictures, self._beside.pop(key, {})
        )
        self._collected.entries[row["index"]] = entry

    def fail(self, row: Row) -> None:
        """Note that a sample failed: key, index, stage, error."""
        self._collected.failed[row["index"]] = plain_row(row)

    def close(self) -> None:
        """Publish the fragment, if all of it is there; it is done once."""
        collected = self._collected
        if self.published or len(collected.entries) + len(collected.failed) < self._samples:
            return
        self._publish(collected)
        self.published = True
        collected.spool.close()


def stems_of(keys: SampleNames, *, dots: bool) -> Callable[[str], str]:
    """Names of samples' files, as in run folders; in tars without dots, which end a key there."""

    def stem(key: str) -> str:
        name = keys(key)
        if dots or "." not in name:
            return name
        return digested_name(key).replace(".", "_")

    return stem
