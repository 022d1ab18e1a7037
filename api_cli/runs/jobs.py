"""What travels on the belt: jobs in, loaded samples along, a report out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from api_cli.masking import Array, Box, MaskSettings
from api_cli.relevance import Prepared, Read
from api_cli.runs.pixel_budget import Picture
from api_cli.runs.sink import Sink
from datasets_manager import Sample


class Variant(NamedTuple):
    """One setting of a run and where its results go.

    Attributes:
        reads: what the model is asked for; the mask's map is their mean.
        mask: what is made of it.
        sink: takes the results.
    """

    reads: tuple[Read, ...]
    mask: MaskSettings
    sink: Sink


class Job(NamedTuple):
    """One sample and the settings in which it is not finished."""

    sample: Sample
    variants: tuple[Variant, ...]


class Subject(NamedTuple):
    """The sample whose maps are looked for.

    Attributes:
        key: its key.
        query: what the model is asked.
        sha256: of its encoded picture, 64 hex digits.
    """

    key: str
    query: str
    sha256: str


class Found(NamedTuple):
    """What is known of a subject, kept or computed.

    Attributes:
        maps: (M, h, w) float32 by read; those of the general question by `Read.of_prompt`.
        facts: what else is worth a place in the manifest.
    """

    maps: Mapping[Read, Array]
    facts: Mapping[str, Any]

    def mean(self, reads: Iterable[Read]) -> Array:
        """The mean of some maps, (M, h, w)."""
        maps = [self.maps[read] for read in reads]
        return maps[0] if len(maps) == 1 else np.mean(maps, axis=0, dtype=np.float32)


class Loaded(NamedTuple):
    """A job and its picture.

    Attributes:
        job: the sample and its settings.
        picture: what it shares with its neighbours; they find it as long as one of them is here.
        subject: what the maps are of: this sample, unless masks are shuffled.
        box: the subject's outline on the patch grid, in cells; its mask is stretched from there
            over the sample's picture. Empty where pictures have grids of their own.
        prepared: the subject's picture as the model sees it, where maps must be computed.
        kept: what was kept of an earlier run of the maps under the question, if all were.
        general: likewise of those under the general question; none where none are needed.
        stamp: of the picture (`Sample.stamp`), taken before it was read.
    """

    job: Job
    picture: Picture
    subject: Subject
    box: Box
    prepared: Prepared | None
    kept: Found | None
    general: Mapping[Read, Array] | None
    stamp: str | None = None

    def box_on(self, height: int, width: int) -> Box:
        """The subject's outline on a map of that size; the whole of it where the box is empty."""
        return self.box if any(self.box) else (0, 0, width, height)


class Written(NamedTuple):
    """A sample's pictures in one setting, once they are saved.

    Attributes:
        sink: that has them.
        file_names: by column.
        flat: whether the sample's map had no relevance to tell.
        facts: what the rendering has to say of them.
    """

    sink: Sink
    file_names: dict[str, str]
    flat: bool
    facts: Mapping[str, Any]


@dataclass
class Report:
    """What the belt did.

    Attributes:
        finished: samples whose pictures are all written.
        failed: samples that went to the error ledger.
        flat: masked images that came out unchanged for want of relevance.
        cut: samples whose question the model read only the beginning of.
        seconds_reading: time the model waited for pictures.
        seconds_model: time in the model.
        seconds_writing: time the model waited for masked images to be written.
    """

    finished: int = 0
    failed: int = 0
    flat: int = 0
    cut: int = 0
    seconds_reading: float = 0.0
    seconds_model: float = 0.0
    seconds_writing: float = 0.0


def reads_of(variants: Iterable[Variant]) -> list[Read]:
    """What some settings ask a model for, each once, in order."""
    reads = {read for variant in variants for read in variant.reads}
    return sorted(reads, key=_order)


def general_reads_of(variants: Iterable[Variant]) -> list[Read]:
    """What some settings ask for under the general question, each once, in order."""
    relative = [variant for variant in variants if variant.mask.relative != "none"]
    return sorted({read.of_prompt for read in reads_of(relative)}, key=_order)


def _order(read: Read) -> Read:
    return read._replace(head=-1 if read.head is None else read.head)
