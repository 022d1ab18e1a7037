"""Kept maps of a sharded run: a file a fragment, read back by that fragment of the next sweep.

Nobody else reads or writes it meanwhile, so there is no lock and nothing to merge. Like every kept
map it is only a cache: what is damaged or missing is made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Any

from api_cli.relevance import Reads, Relevance
from api_cli.runs.map_shards import Entry, find_entries, header_of, pack, to_entries, unpack
from api_cli.runs.shards.place import Place


class FragmentMaps:
    """The maps of whichever fragment is being worked on; see `map_store.Maps`.

    Args:
        place: folder of the maps of one model in its settings, and of one plan.
        identity: what determines the maps.
    """

    def __init__(self, place: Place, identity: Mapping[str, Any]) -> None:
        self._place = place
        self._header = header_of(identity)
        self._entries: dict[bytes, Entry] = {}
        self._new: set[bytes] = set()
        self._adding = Lock()

    def begin(self, name: str) -> None:
        """Take in what was kept of a fragment, and let the one before go."""
        self._new.clear()
        try:
            self._entries = unpack(self._place.read(name))
        except OSError:  # none yet, or not to be had
            self._entries = {}

    def get(self, image_sha256: str, question: str, reads: Reads) -> Relevance | None:
        """What was found out in these reads, or None where one is missing."""
        return find_entries(self._entries.get, image_sha256, question, reads)

    def put(self, entries: Iterable[tuple[str, str, Reads, Relevance]]) -> None:
        """Keep what was found out."""
        with self._adding:
            new = to_entries(entries)
            self._entries |= new
            self._new.update(new)

    def end(self, name: str) -> None:
        """Write what is new beside what was kept. Raises OSError where that cannot be."""
        if self._new:
            content, _ = pack(self._entries, self._header)
            self._place.write(name, content)
            self._new.clear()
