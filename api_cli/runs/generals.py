"""Maps under the general question, which relative maps are relative to: one row a picture."""

from __future__ import annotations

from collections.abc import Mapping

from api_cli.masking import Array
from api_cli.relevance import Read
from api_cli.runs.jobs import Loaded, general_reads_of

_MOST = 256  # pictures; samples about one of them mostly follow each other


class Generals:
    """The maps of the last pictures, for samples that were read before these were computed."""

    def __init__(self) -> None:
        self._known: dict[str, Mapping[Read, Array]] = {}

    def of(self, loaded: Loaded) -> Mapping[Read, Array] | None:
        """A sample's, kept or computed before; None where one that it needs is neither."""
        if loaded.general is not None:
            return loaded.general
        known = self._known.get(loaded.subject.sha256, {})
        wanted = general_reads_of(loaded.job.variants)
        return {read: known[read] for read in wanted} if known.keys() >= set(wanted) else None

    def note(self, computed: Mapping[str, Mapping[Read, Array]]) -> None:
        """Take in what was computed of some pictures, by the SHA-256 of each."""
        for sha256 in list(self._known)[: max(0, len(self._known) - _MOST)]:
            del self._known[sha256]
        self._known |= computed
