"""In the place of rendering: a sample's maps are held against its boxes, on the belt's threads."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from api_cli.masking import Array, MaskSettings, Method
from api_cli.masking.mask import minmax
from api_cli.profiling.boxes import Cells, cover, has_outside, to_fractions
from api_cli.profiling.metrics import Score, score
from api_cli.relevance import Read
from api_cli.runs.jobs import Found, Loaded, Written
from api_cli.runs.ledger import Row

MASK = "mask"
"""Name of what a method with several maps makes of them."""


class Place(NamedTuple):
    """Where a sample's maps are in a `Spool`."""

    offset: int
    shape: tuple[int, ...]


class Measured(NamedTuple):
    """What is known of a sample once its maps have been there.

    Attributes:
        picture: SHA-256 of its file.
        cells: of its grid.
        scores: (R, M, 3) float64, of each of R rows' M maps the fields of `Score`.
        place: of its single layers' maps, for means that are not known yet.
    """

    picture: str
    cells: Cells
    scores: NDArray[np.float64]
    place: Place


class Spool:
    """Maps on the disk until the profile is done, so that memory need not hold them."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="apiprompt-profile-")  # noqa: SIM115 - closed by close
        self._writing = Lock()

    def put(self, maps: Array) -> Place:
        """Keep maps of any shape."""
        with self._writing:
            offset = self._file.seek(0, 2)
            self._file.write(np.ascontiguousarray(maps, dtype=np.float32).tobytes())
            return Place(offset, maps.shape)

    def get(self, place: Place) -> Array:
        """The maps of a place."""
        with self._writing:
            self._file.seek(place.offset)
            content = self._file.read(4 * int(np.prod(place.shape)))
        return np.frombuffer(content, dtype=np.float32).reshape(place.shape)

    def close(self) -> None:
        """Let the disk have its room back."""
        self._file.close()


class Measuring:
    """Scores samples' maps; at once what renders and the sink of a belt.

    Args:
        method: what the maps are.
        rows: R groups of reads; the mean of each is scored.
        single: what the layers' own maps are read by, L of them; they wait on the disk.
        boxes: of each sample by key, (K, 4) in the row's own units.
        units: of those.
        column: that they are from, for messages.

    Attributes:
        measured: by key.
    """

    def __init__(
        self,
        method: Method,
        rows: Sequence[tuple[Read, ...]],
        single: Sequence[Read],
        boxes: Mapping[str, NDArray[np.float64]],
        units: str,
        column: str,
    ) -> None:
        self._method = method
        self._rows = rows
        self._single = single
        self._boxes = boxes
        self._units = units
        self._column = column
        self._spool = Spool()
        self.measured: dict[str, Measured] = {}
        self._failed: dict[str, Row] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the M maps that are scored of each layer; the last is the one that layers rank by."""
        return map_names(self._method)

    @property
    def failures(self) -> list[Row]:
        """Rows of samples that failed: key, index, stage, error."""
        return list(self._failed.values())

    def render(self, loaded: Loaded, found: Found) -> list[Written]:
        """Score one sample.

        Args:
            loaded: the sample.
            found: the maps of all rows.

        Raises:
            ValueError: where its boxes or maps will not do.
        """
        key = loaded.job.sample.key
        with loaded.picture.opened() as image:
            fractions = to_fractions(self._boxes[key], self._units, image.size, self._column)
        height, width = found.maps[self._single[0]].shape[-2:]
        cells = cover(fractions, loaded.box_on(height, width), (height, width))
        if not has_outside(cells):
            raise ValueError(f"column {self._column!r}: the boxes cover the whole picture")
        scores = [scores_of(self._method, found.mean(row), cells) for row in self._rows]
        place = self._spool.put(np.stack([found.maps[read] for read in self._single]))
        self.measured[key] = Measured(loaded.picture.sha256, cells, np.array(scores), place)
        return [Written(self, {}, flat=False, facts={})]

    def mean_scores(self, measured: Measured, layers: Sequence[int]) -> NDArray[np.float64]:
        """(M, 3): of the mean of some layers' maps, by their place among `single`."""
        maps = self._spool.get(measured.place)[list(layers)]
        return np.array(
            scores_of(self._method, maps.mean(axis=0, dtype=np.float32), measured.cells)
        )

    def save_images(self, key: str, images: Mapping[str, bytes]) -> dict[str, str]:
        """No pictures are made; see `Sink`."""
        raise NotImplementedError

    def save_beside(self, key: str, suffix: str, content: bytes) -> None:
        """No files are made; see `Sink`."""
        raise NotImplementedError

    def add(self, row: Row, stamp: str | None = None) -> None:
        """Nothing is entered: `render` has noted the scores; see `Sink`."""

    def fail(self, row: Row) -> None:
        """See `Sink`."""
        self._failed[row["key"]] = row

    def close(self) -> None:
        """See `Sink`; the maps stay until `forget`."""

    def forget(self) -> None:
        """Let go of the maps on the disk."""
        self._spool.close()


def map_names(method: Method) -> tuple[str, ...]:
    """Names of a method's maps, and of the mask where it has several."""
    names = tuple(name for name, _ in method.maps)
    return names if len(names) == 1 else (*names, MASK)


def scores_of(method: Method, maps: Array, cells: Cells) -> list[Score]:
    """The scores of one layer's maps (M, h, w), each large where relevant, and of their mask.

    A single map is attention, 0 or more, and counts as it is. Of several, whose zero means nothing,
    each is scaled to [0, 1]; their mask is that of the default contrast and smoothness.
    """
    if len(method.maps) == 1:
        return [score(maps[0], cells)]
    mask = method.make_mask(maps, MaskSettings(), None).values
    signed = (sign * m for (_, sign), m in zip(method.maps, maps, strict=True))
    return [*(score(_scaled(m), cells) for m in signed), score(mask, cells)]


def _scaled(m: Array) -> Array:
    return np.ones_like(m) if m.min() == m.max() else minmax(m)
