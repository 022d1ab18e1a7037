"""How many samples go through the model together: as many as asked for, or as many as do best."""

from __future__ import annotations

from typing import Protocol

_TRIES = 2  # batches at a size before it is judged: the first also warms up
_GAIN = 1.1  # times faster that twice the size must be
_MOST = 8  # times the model's own wish; pictures wait for the model in the machine's memory
_NEAR = 8  # a size within one eighth of the largest that fits is near enough


class BatchSize(Protocol):
    """A batch size that learns from what became of batches."""

    size: int

    def fitted(self, samples: int, seconds: float) -> None:
        """A batch of so many samples went through the model in that time."""
        ...

    def did_not_fit(self, samples: int) -> None:
        """Memory did not do for so many samples."""
        ...


class FixedSize:
    """The size that was asked for, halved for good where memory does not do.

    Attributes:
        size: samples in a batch, as things stand.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def fitted(self, samples: int, seconds: float) -> None:
        """Change nothing."""

    def did_not_fit(self, samples: int) -> None:
        """Halve what did not fit."""
        self.size = max(1, samples // 2)


class GrowingSize:
    """Finds the size that does best.

    It is doubled as long as that makes the model faster. Once a size does not fit, the largest that
    does is looked for between it and the largest that did.

    Args:
        first: the model's own wish.

    Attributes:
        size: samples in a batch, as things stand.
    """

    def __init__(self, first: int) -> None:
        self.size = first
        self._most = _MOST * first
        self._largest_fit = 0
        self._smallest_misfit: int | None = None
        self._rates: list[float] = []  # samples a second at this size
        self._rate_of_half = 0.0
        self._settled = False

    def fitted(self, samples: int, seconds: float) -> None:
        """Grow, unless this size is one to stay with; a part of a batch tells only that it fits."""
        self._largest_fit = max(self._largest_fit, samples)
        if self._settled or samples != self.size:
            return
        if self._smallest_misfit is not None:
            self._bisect(self._smallest_misfit)
            return
        self._rates.append(samples / max(seconds, 1e-9))
        if len(self._rates) < _TRIES:
            return
        rate, self._rates = max(self._rates), []
        if rate < _GAIN * self._rate_of_half:
            self.size, self._settled = self.size // 2, True
        elif self.size == self._most:
            self._settled = True
        else:
            self.size, self._rate_of_half = 2 * self.size, rate

    def did_not_fit(self, samples: int) -> None:
        """Shrink to between what fits and what does not; by a quarter, where this once fitted."""
        if samples <= self._largest_fit:  # longer questions, or another program on the device
            self.size, self._settled = max(1, samples * 3 // 4), True
            self._largest_fit = self.size
            return
        self._smallest_misfit = min(samples, self._smallest_misfit or samples)
        self._bisect(self._smallest_misfit)

    def _bisect(self, misfit: int) -> None:
        fit = self._largest_fit
        if fit and misfit - fit <= max(1, fit // _NEAR):
            self.size, self._settled = fit, True
        else:
            self.size = max(1, (fit + misfit) // 2)
