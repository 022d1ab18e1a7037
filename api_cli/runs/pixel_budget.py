"""How many decoded pixels wait on the belt: as many as there is room for, whatever the batch."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import Lock, RLock

from PIL import Image

from api_cli.relevance import Prepared
from api_cli.runs.pictures import decode, head_of

_ROOM = 2**27  # pixels: 512 MB, as Pillow keeps them
_LARGE = 2**24  # pixels of a picture that is never kept, and decoded by one thread at a time


class PixelBudget:
    """Room for decoded pictures, shared by all that are on the belt.

    Args:
        room: pixels that may be kept.
        large: pixels beyond which a picture is not kept, and opened alone.
    """

    def __init__(self, room: int = _ROOM, large: int = _LARGE) -> None:
        self._left = room
        self._large = large
        self._counting = Lock()
        self._one_large_at_a_time = Lock()

    @contextmanager
    def turn(self, pixels: int) -> Iterator[None]:
        """Wait, with a large picture, until no other is open."""
        with self._one_large_at_a_time if pixels > self._large else nullcontext():
            yield

    def keeps(self, image: Image.Image) -> bool:
        """Whether there is room for a picture; it is taken until nobody holds the picture."""
        pixels = image.width * image.height
        with self._counting:
            if pixels > min(self._left, self._large):
                return False
            self._left -= pixels
        weakref.finalize(image, self._give_back, pixels)
        return True

    def _give_back(self, pixels: int) -> None:
        with self._counting:
            self._left += pixels


class Picture:
    """A picture on the belt, for all neighbouring samples about it.

    It is kept as it was decoded, or where there is no room decoded again for each.

    Args:
        sha256: of the file's content, 64 hex digits.
        content: of the file.
        budget: the room that there is.

    Attributes:
        kind: Pillow's name of the file's format, once it was opened.
    """

    def __init__(self, sha256: str, content: bytes, budget: PixelBudget) -> None:
        self.sha256 = sha256
        self._content = content
        self._budget = budget
        self.kind = ""
        self._kept: Image.Image | None = None
        self._prepared: Prepared | None = None
        self._working = RLock()  # the thread that asks first does it, and the others wait

    @contextmanager
    def opened(self) -> Iterator[Image.Image]:
        """The picture in RGB, within; it must not be changed. Raises what `decode` does."""
        with self._working:
            if self._kept is None:
                (width, height), self.kind = head_of(self._content)
                with self._budget.turn(width * height):
                    image = decode(self._content)
                    if not self._budget.keeps(image):
                        yield image
                        return
                    self._kept, self._content = image, b""
        yield self._kept

    def prepared(self, prepare: Callable[[], Prepared]) -> Prepared:
        """The picture as the model sees it; prepared once."""
        with self._working:
            if self._prepared is None:
                self._prepared = prepare()
            return self._prepared
