"""Thumbnails of samples: originals, heat maps and masked pictures, on threads."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from PIL import Image

from api_cli.errors import first_line
from api_cli.options.launch import default_num_workers
from api_cli.pages.show.heat import HeatMaps
from api_cli.pages.show.originals import Originals
from api_cli.pages.show.runs import GoneError, Item, Run
from api_cli.runs.ledger import Row
from api_cli.runs.pictures import decode

_AHEAD = 64  # samples that are drawn before they are asked for
_NO_ORIGINAL = (232, 232, 232)  # under a heat map whose picture is gone
T = TypeVar("T")


class Gone(NamedTuple):
    """Why a picture is not there."""

    why: str


class DrawnRun(NamedTuple, Generic[T]):
    """A sample's pictures of one run.

    Attributes:
        heat: its heat map.
        pictures: what the run made, by their columns in the manifest, `file_name` first.
    """

    heat: T | Gone
    pictures: dict[str, T | Gone]


class DrawnItem(NamedTuple, Generic[T]):
    """A sample's pictures.

    Attributes:
        original: as its dataset has it.
        runs: those of each run; None where it has none of the sample.
    """

    original: T | Gone
    runs: list[DrawnRun[T] | None]


class Shrunk(NamedTuple):
    """A picture that was made smaller, or as it is where it was small.

    Attributes:
        image: in RGB.
        size: width and height before, in pixels, as a person sees it.
    """

    image: Image.Image
    size: tuple[int, int]


def shrink(content: bytes, side: int) -> Shrunk:
    """A picture whose longer side is `side` pixels at most. Raises what `decode` raises."""
    image = decode(content, least=side)
    with Image.open(io.BytesIO(content)) as stored:
        width, height = stored.size
    if (width > height) != (image.width > image.height):  # by its orientation
        width, height = height, width
    scale = min(1, side / max(width, height))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    if small != image.size:
        image = image.resize(small, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return Shrunk(image, (width, height))


class Drawing(Generic[T]):
    """Draws samples.

    Args:
        runs: whose samples they are.
        side: longer side of a thumbnail, in pixels, at most.
        keep: what becomes of a thumbnail; called on several threads at once.
    """

    def __init__(self, runs: Sequence[Run], side: int, keep: Callable[[Image.Image], T]) -> None:
        self._runs = runs
        self._side = side
        self._keep = keep
        self._originals = Originals(runs)
        self._heat_maps = HeatMaps(runs, self._originals)

    def draw_all(self, items: Sequence[Item]) -> Iterator[DrawnItem[T]]:
        """The samples' pictures, in order, drawn on as many threads as there are cores."""
        rest = iter(items)
        pool = ThreadPoolExecutor(default_num_workers("auto"))
        try:
            ahead = [pool.submit(self.draw, item) for item in islice(rest, _AHEAD)]
            while ahead:
                drawn = ahead.pop(0).result()
                ahead += [pool.submit(self.draw, item) for item in islice(rest, 1)]
                yield drawn
        finally:
            pool.shutdown(cancel_futures=True)

    def draw(self, item: Item) -> DrawnItem[T]:
        """A sample's pictures."""
        original: Shrunk | Gone
        try:
            original = shrink(self._originals.read(item), self._side)
        except Exception as error:  # whatever Pillow raises is the picture's matter
            original = _gone(error)
        kept = self._keep(original.image) if isinstance(original, Shrunk) else original
        made: dict[object, T | Gone] = {}  # heat maps of runs that differ in the mask alone
        runs = [
            None if row is None else self._draw_run(number, row, original, made)
            for number, row in enumerate(item.rows)
        ]
        return DrawnItem(kept, runs)

    def _draw_run(
        self, number: int, row: Row, original: Shrunk | Gone, made: dict[object, T | Gone]
    ) -> DrawnRun[T]:
        run = self._runs[number]
        pictures: dict[str, T | Gone] = {}
        below = original  # what a heat map is drawn over
        for column in run.columns(row):
            try:
                shrunk = shrink(run.picture(row, column), self._side)
            except Exception as error:  # as above
                pictures[column] = _gone(error)
                continue
            pictures[column] = self._keep(shrunk.image)
            if isinstance(below, Gone):
                below = Shrunk(Image.new("RGB", shrunk.image.size, _NO_ORIGINAL), shrunk.size)
        if isinstance(below, Gone):
            return DrawnRun(Gone("there is no picture to draw it over"), pictures)
        about = (self._heat_maps.identities[number], row.get("mask_of"))
        if about not in made:
            try:
                heat = self._heat_maps.read(number, row, below.size).over(below.image)
            except Exception as error:  # of maps that are damaged, or a dataset's own function
                made[about] = _gone(error)
            else:
                made[about] = self._keep(heat)
        return DrawnRun(made[about], pictures)


def _gone(error: Exception) -> Gone:
    if isinstance(error, GoneError):
        return Gone(str(error))
    if isinstance(error, FileNotFoundError):
        return Gone("its file is gone")
    return Gone(f"{type(error).__name__}: {first_line(error)}")
