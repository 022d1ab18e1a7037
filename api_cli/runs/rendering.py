"""The belt's third stage: mask, render, encode and save, on the belt's threads."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image

from api_cli.masking import Array, Mask, MaskSettings, Method
from api_cli.masking.heatmap import overlay
from api_cli.masking.renderings import RENDERINGS, Scene
from api_cli.relevance import Read
from api_cli.runs.endings import SOURCE, source_ending
from api_cli.runs.jobs import Found, Loaded, Variant, Written
from api_cli.runs.pictures import encode
from api_cli.runs.sink import Sink

MAPS_SUFFIX = ".npy"


class Rendering:
    """Makes a sample's pictures and hands them to its sinks.

    Args:
        method: what is made of the maps.
        save_maps: whether to write maps beside the masked images.
        image_format: a key of `endings.FORMATS`, or "source" for each source's own.
        quality: of jpg and webp, 1 to 100.
    """

    def __init__(self, method: Method, *, save_maps: bool, image_format: str, quality: int) -> None:
        self._method = method
        self._save_maps = save_maps
        self._format = image_format
        self._quality = quality

    def render(self, loaded: Loaded, found: Found) -> list[Written]:
        """Save a sample's pictures in each of its settings.

        Args:
            loaded: the sample.
            found: the maps of its settings.
        """
        written = []
        with loaded.picture.opened() as image:
            ending = self._format
            if ending == SOURCE:
                ending = source_ending(loaded.job.sample.source_name, loaded.picture.kind)

            # settings with one mask follow each other, so that the last is often the next as well
            @lru_cache(maxsize=1)
            def mask_of(reads: tuple[Read, ...], settings: MaskSettings) -> Mask:
                general = None
                if settings.relative != "none":
                    general = found.mean(read.of_prompt for read in reads)
                return self._method.make_mask(found.mean(reads), settings, general)

            @lru_cache(maxsize=1)
            def scene_of(reads: tuple[Read, ...], settings: MaskSettings, name: str) -> Scene:
                mask = mask_of(reads, settings)
                return Scene(image, mask, loaded.box_on(*mask.values.shape), name)

            @lru_cache(maxsize=1)
            def original() -> bytes:
                return self._encoded(image, ending)

            for reads, settings, sink in sorted(loaded.job.variants, key=_by_mask):
                scene = scene_of(reads, settings.of_grid, settings.interpolate_method_name)
                images, facts = RENDERINGS[settings.render].draw(scene, settings)
                contents = {
                    column: original() if drawn is image else self._encoded(drawn, ending)
                    for column, drawn in images.items()
                }
                names = sink.save_images(loaded.job.sample.key, contents)
                written.append(Written(sink, names, scene.mask.flat, facts))
                if self._save_maps:
                    self._write_maps(loaded, image, found.mean(reads), sink)
        return written

    def _encoded(self, image: Image.Image, ending: str) -> bytes:
        return encode(image, ending, self._quality)

    def _write_maps(self, loaded: Loaded, image: Image.Image, map_: Array, sink: Sink) -> None:
        """Heat maps, then the array: its presence says that all are there."""
        key = loaded.job.sample.key
        for (name, sign), m in zip(self._method.maps, map_, strict=True):
            heat = encode(overlay(image, sign * m, loaded.box_on(*m.shape)), "jpg", 90)
            sink.save_beside(key, f".{name}.jpg", heat)
        buffer = io.BytesIO()
        np.save(buffer, map_)
        sink.save_beside(key, MAPS_SUFFIX, buffer.getvalue())


def _by_mask(variant: Variant) -> str:
    """What brings settings with one mask, and of these those of one filter, together."""
    settings = variant.mask
    return repr((variant.reads, settings.of_grid, settings.interpolate_method_name))
