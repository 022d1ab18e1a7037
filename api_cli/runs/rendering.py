"""The belt's third stage: mask, blend, encode and save, on the belt's threads."""

from __future__ import annotations

import io

import numpy as np

from api_cli.masking import Array, Method, apply_mask
from api_cli.masking.heatmap import overlay
from api_cli.runs.jobs import Loaded, Written, layers_of
from api_cli.runs.pictures import encode
from api_cli.runs.sink import Sink

MAPS_SUFFIX = ".npy"


class Rendering:
    """Makes a sample's pictures and hands them to its sinks.

    Args:
        method: what is made of the maps.
        save_maps: whether to write maps beside the masked images.
        image_format: a key of `pictures.FORMATS`.
        quality: of jpg and webp, 1 to 100.
    """

    def __init__(self, method: Method, *, save_maps: bool, image_format: str, quality: int) -> None:
        self._method = method
        self._save_maps = save_maps
        self._format = image_format
        self._quality = quality

    def render(self, loaded: Loaded, maps: Array) -> list[Written]:
        """Save a sample's picture in each of its settings.

        Args:
            loaded: the sample.
            maps: (L, M, h, w), of its layers in order.
        """
        key = loaded.job.sample.key
        layers = layers_of(loaded.job.variants)
        written = []
        for layer, mask_settings, sink in loaded.job.variants:
            map_ = maps[layers.index(layer)]
            coe, kernel_size = mask_settings.enhance_coe, mask_settings.kernel_size
            mask = self._method.make_mask(map_, coe, kernel_size)
            masked = apply_mask(loaded.image, mask, mask_settings, loaded.box)
            content = encode(masked, self._format, self._quality)
            names = sink.save_images(key, {"file_name": content})
            written.append(Written(sink, names, mask.flat))
            if self._save_maps:
                self._write_maps(loaded, map_, sink)
        return written

    def _write_maps(self, loaded: Loaded, map_: Array, sink: Sink) -> None:
        """Heat maps, then the array: its presence says that all are there."""
        key = loaded.job.sample.key
        for (name, sign), m in zip(self._method.maps, map_, strict=True):
            heat = encode(overlay(loaded.image, sign * m, loaded.box), "jpg", 90)
            sink.save_beside(key, f".{name}.jpg", heat)
        buffer = io.BytesIO()
        np.save(buffer, map_)
        sink.save_beside(key, MAPS_SUFFIX, buffer.getvalue())
