"""`--shuffle-masks`: another sample's mask, the control that belongs into every table.

What a picture gains from another picture's mask it does not gain by being shown where to look.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from hashlib import sha256
from typing import Any, NamedTuple

from datasets_manager import Dataset, DatasetError, Sample


class Other(NamedTuple):
    """The sample whose mask another one takes.

    Attributes:
        sample: itself.
        content: its encoded picture.
        sha256: of that, 64 hex digits.
    """

    sample: Sample
    content: bytes
    sha256: str


class Shuffle:
    """Whose mask each sample of a dataset takes.

    The samples stand in a ring, in the order of a digest of seed and key. A sample takes the mask
    of the next one in it that shows another picture and has no fault. So the choice depends on
    the seed, the key and the whole set, not on range, shard or order, and hardly any mask is used
    twice. 16 bytes a sample are held, and pictures are read only when a choice is asked for.

    Args:
        dataset: the whole.
        seed: of the draw.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._dataset = dataset
        self._seed = seed
        ring = sorted((self._place(sample.key), number) for number, sample in enumerate(dataset))
        self._places = array("Q", (place for place, _ in ring))
        self._numbers = array("Q", (number for _, number in ring))
        self._passed_over: dict[int, str] = {}  # digests of pictures that were another's as well

    @property
    def settings(self) -> dict[str, Any]:
        """What determines the choice: the seed, and a digest of the set's keys."""
        keys = sha256(self._places.tobytes()).hexdigest()[:16]
        return {"shuffle_masks": self._seed, "shuffled_keys": keys}

    def other(self, sample: Sample, image_sha256: str) -> Other:
        """The sample whose mask this one takes. Called from several threads at once.

        Args:
            sample: of the dataset.
            image_sha256: of its encoded picture.

        Raises:
            DatasetError: where no sample of the dataset shows another picture, or the other's
                cannot be read.
        """
        start = bisect_right(self._places, self._place(sample.key))
        for step in range(len(self._numbers)):
            number = self._numbers[(start + step) % len(self._numbers)]
            candidate = self._dataset[number]
            if candidate.shares_picture(sample) or candidate.fault is not None:
                continue
            if self._passed_over.get(number) == image_sha256:
                continue
            try:
                content = candidate.read_image()
            except Exception as error:  # whatever a dataset's own function raises
                raise DatasetError(
                    f"the picture of {candidate.key!r}, whose mask it takes: "
                    f"{type(error).__name__}: {error}"
                ) from error
            digest = sha256(content).hexdigest()
            if digest != image_sha256:
                return Other(candidate, content, digest)
            self._passed_over[number] = digest
        raise DatasetError("no other picture in the dataset, whose mask it could take")

    def _place(self, key: str) -> int:
        text = f"{self._seed}\n{key}".encode("utf-8", "surrogatepass")
        return int.from_bytes(sha256(text).digest()[:8])
