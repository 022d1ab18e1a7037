"""Groups of rows that are read once for all their rows, the last of them kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Any, NamedTuple

LIMIT = 256 * 2**20
_Table = Any  # of pyarrow's, which is imported where parquet is read


class _Place(NamedTuple):
    """Where a column of a group of rows comes from."""

    source: Hashable
    group: int
    column: str


class Groups:
    """Columns of groups of rows, the last used of which are kept while their bytes allow it.

    A column of a group is fetched by the thread that first asks for it; others that ask for the
    same meanwhile wait for it, others that ask for something else do not. What is larger than the
    limit is kept alone, since all its rows would be decoded again for each of them otherwise.

    Args:
        limit: bytes to keep at most.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: OrderedDict[_Place, Future[_Table]] = OrderedDict()
        self._sizes: dict[_Place, int] = {}  # of those that are there, in bytes
        self._total = 0
        self._lock = Lock()  # of the books, never held while fetching

    @property
    def bytes(self) -> int:
        """What is kept at the moment."""
        return self._total

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process gets an empty one."""
        return Groups, (self._limit,)

    def get(
        self,
        source: Hashable,
        group: int,
        columns: Sequence[str],
        fetch: Callable[[Sequence[str]], _Table],
    ) -> dict[str, _Table]:
        """Columns of a group by name, each a pyarrow array.

        Args:
            source: the file, or what stands for it.
            group: number of the group in it.
            columns: names.
            fetch: reads those of the columns that are not here; whatever it raises is raised, and
                they are fetched again by whoever asks next.
        """
        places = [_Place(source, group, column) for column in columns]
        with self._lock:
            missing = [place for place in places if place not in self._kept]
            for place in missing:
                self._kept[place] = Future()
            futures = {place.column: self._kept[place] for place in places}
            for place in places:
                self._kept.move_to_end(place)
        if missing:
            self._fetch(missing, {place: futures[place.column] for place in missing}, fetch)
        return {column: future.result() for column, future in futures.items()}

    def _fetch(
        self,
        missing: Sequence[_Place],
        futures: dict[_Place, Future[_Table]],
        fetch: Callable[[Sequence[str]], _Table],
    ) -> None:
        try:
            table = fetch([place.column for place in missing])
        except BaseException as error:
            with self._lock:
                for place in missing:
                    del self._kept[place]
            for future in futures.values():
                future.set_exception(error)
            raise
        for place, future in futures.items():
            future.set_result(table.column(place.column))
        with self._lock:
            for place, future in futures.items():
                self._sizes[place] = future.result().nbytes
                self._total += self._sizes[place]
            while self._total > self._limit:
                old = (p for p in self._kept if p in self._sizes and p not in futures)
                if (oldest := next(old, None)) is None:
                    return
                del self._kept[oldest]
                self._total -= self._sizes.pop(oldest)
