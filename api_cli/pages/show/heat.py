"""Heat maps of runs' samples, from the maps that were kept or saved beside the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from api_cli.masking import CLIP, LLAVA, Array, Box, MaskSettings, Method, minmax
from api_cli.masking.heatmap import overlay
from api_cli.pages.show.originals import Originals
from api_cli.pages.show.runs import GoneError, Run
from api_cli.relevance import Read
from api_cli.relevance.fit import part_of_padded
from api_cli.runs.ledger import Row
from api_cli.runs.map_store import MapStore, find_stores
from api_cli.runs.pictures import decode
from api_cli.runs.rendering import MAPS_SUFFIX
from api_cli.runs.settings import LATER, reads_of

_METHODS = {method.name: method for method in (CLIP, LLAVA)}


class Heat(NamedTuple):
    """What was found relevant in a picture, whatever the mask's contrast and smoothness.

    Attributes:
        map: (h, w) float32 in [0, 1]; large is relevant.
        box: the part of it that the picture covers, in cells.
    """

    map: Array
    box: Box

    def over(self, image: Image.Image) -> Image.Image:
        """An RGB picture under the heat map."""
        return overlay(image, self.map, self.box)


class HeatMaps:
    """The heat maps of runs' samples.

    Args:
        runs: whose samples they are.
        originals: of those, for the maps of shuffled masks.

    Attributes:
        identities: of each run, what is the same for runs of the same maps.
    """

    def __init__(self, runs: Sequence[Run], originals: Originals) -> None:
        self._runs = runs
        self._originals = originals
        self.identities = [_identity(run) for run in runs]
        stores = {
            identity: find_stores(run.output_folder, run.settings)
            for identity, run in zip(self.identities, runs, strict=True)
        }
        self._stores = [stores[identity] for identity in self.identities]

    def read(self, number: int, row: Row, size: tuple[int, int]) -> Heat:
        """What a run found relevant for a sample.

        Args:
            number: of the run.
            row: of the sample in its manifest.
            size: width and height of the original in pixels.

        Raises:
            GoneError: where no map is left.
        """
        run = self._runs[number]
        method = _METHODS.get(str(run.settings.get("method")))
        if method is None:
            raise GoneError(f"its maps are not known here (method {run.settings.get('method')})")
        subject, size = self._subject(number, row, size)
        maps = self._kept(self._stores[number], run.settings, subject)
        if maps is None:
            maps = _saved(run, row, len(method.maps))
        return Heat(merge(maps, method), _box(str(run.settings.get("fit")), size, maps))

    def _subject(self, number: int, row: Row, size: tuple[int, int]) -> tuple[Row, tuple[int, int]]:
        """The row, and the picture's size, of the sample whose mask a sample has."""
        other = row.get("mask_of")
        if other is None:
            return row, size
        run = self._runs[number]
        known = run.rows.get(other)
        if known is not None and run.settings.get("fit") != "pad":
            return known, size
        sample = self._originals.sample(number, other)
        content = self._originals.content(sample)
        subject = {"image_sha256": sha256(content).hexdigest(), "question": sample.query}
        return subject, decode(content).size

    @staticmethod
    def _kept(
        stores: Sequence[MapStore], settings: Mapping[str, Any], subject: Row
    ) -> Array | None:
        image, query = subject.get("image_sha256"), subject.get("query") or subject.get("question")
        reads = _reads(settings)
        if not reads or not isinstance(image, str):
            return None
        for store in stores:
            if (found := store.get(image, str(query), reads)) is not None:
                return np.asarray(found.maps.mean(axis=0), dtype=np.float32)
        return None


def _reads(settings: Mapping[str, Any]) -> tuple[Read, ...]:
    """What the model was asked for; nothing where that is said in a way that is not known here."""
    values = {**LATER, **settings}
    try:
        layers = [int(layer) for layer in str(values["layer_index"]).split("+")]
    except (KeyError, ValueError):
        return ()
    return reads_of(layers, values)


def merge(maps: Array, method: Method) -> Array:
    """Maps (M, h, w) as one (h, w) in [0, 1]: a patch is relevant that one of them holds so.

    It is how the method merges CLIP's two (METHOD.md section 3), without contrast and smoothness.
    """
    rest = np.ones(maps.shape[-2:], dtype=np.float32)
    for (_, sign), m in zip(method.maps, maps, strict=True):
        if m.max() > m.min():  # a flat one tells nothing
            rest *= 1 - minmax(np.float32(sign) * m)
    return 1 - rest


def _identity(run: Run) -> str:
    apart = {*MaskSettings._fields, "format", "quality"}
    settings = {name: value for name, value in run.settings.items() if name not in apart}
    return f"{run.output_folder} {settings}"


def _saved(run: Run, row: Row, number: int) -> Array:
    """The maps that --save-maps wrote beside a sample's picture."""
    if run.pictures is not None:
        raise GoneError("its map is not kept any more")
    path = run.path_of(row.get("file_name"))
    path = path.with_name(f"{path.name.rpartition('.')[0]}{MAPS_SUFFIX}")
    try:
        maps = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise GoneError("its map is not kept any more") from None
    except (OSError, ValueError, EOFError) as error:
        raise GoneError(f"its map's file is damaged ({type(error).__name__})") from error
    if maps.ndim != 3 or len(maps) != number or not np.isfinite(maps).all():
        raise GoneError("its map's file is damaged")
    return np.asarray(maps, dtype=np.float32)


def _box(fit: str, size: tuple[int, int], maps: Array) -> Box:
    """The part of the maps that the picture covers."""
    height, width = maps.shape[-2:]
    if fit == "pad":  # of the model's square the maps show the picture's part
        part = part_of_padded(size, (max(height, width),) * 2)
        if (part.rows[1] - part.rows[0], part.columns[1] - part.columns[0]) == (height, width):
            return part.box
    return (0, 0, width, height)
