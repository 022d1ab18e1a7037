"""`crop`, `pair`, `cutout`: the part of the image that matters, enlarged.

Alone, after the whole, or without what lies between kept patches.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from api_cli.masking.renderings.black import black
from api_cli.masking.renderings.scene import Rectangle, Rendered, Scene
from api_cli.masking.renderings.window import best_window
from api_cli.masking.settings import MaskSettings
from api_cli.masking.steps import Region

MARGIN = 0.5
"""Of a crop around kept regions, in patches: a map does not tell more exactly where it points."""


def crop(scene: Scene, settings: MaskSettings) -> Rendered:
    """The part that matters, enlarged to the image's longer side."""
    box = _box(scene)
    return Rendered({"file_name": _enlarged(scene.image, box)}, {"crop_box": list(box)})


def pair(scene: Scene, settings: MaskSettings) -> Rendered:
    """The image as it is, and the crop (ViCrop, arXiv 2502.17422)."""
    box = _box(scene)
    images = {"file_name": scene.image, "crop_file_name": _enlarged(scene.image, box)}
    return Rendered(images, {"crop_box": list(box)})


def cutout(scene: Scene, settings: MaskSettings) -> Rendered:
    """What `black` leaves, and of that the part around it, enlarged (CARVE, arXiv 2509.06461)."""
    if scene.mask.flat:
        return Rendered({"file_name": scene.image}, {"crop_box": list(scene.whole)})
    box = _around(scene, scene.regions)
    left = black(scene, settings).images["file_name"]
    return Rendered({"file_name": _enlarged(left, box)}, {"crop_box": list(box)})


def _box(scene: Scene) -> Rectangle:
    """Around the regions that `--keep` keeps, with a margin; without it ViCrop's best window."""
    if scene.mask.flat:
        return scene.whole
    if scene.mask.kept is None:
        return best_window(scene)
    return _around(scene, scene.mask.kept)


def _around(scene: Scene, kept: Region) -> Rectangle:
    """The smallest rectangle around patches (h, w), with a margin."""
    rows, columns = np.nonzero(kept)
    return scene.rectangle(
        float(columns.min()) - MARGIN,
        float(rows.min()) - MARGIN,
        float(columns.max()) + 1 + MARGIN,
        float(rows.max()) + 1 + MARGIN,
    )


def _enlarged(image: Image.Image, box: Rectangle) -> Image.Image:
    """A part of an image in its own proportions, its longer side as long as the image's."""
    part = image.crop(box)
    scale = max(image.size) / max(part.size)
    width, height = (max(1, round(side * scale)) for side in part.size)
    return part.resize((width, height), Image.Resampling.LANCZOS)
