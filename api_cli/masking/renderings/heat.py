"""`heat`: the mask as a heat map over the image, for people."""

from __future__ import annotations

from api_cli.masking.heatmap import colour
from api_cli.masking.renderings.scene import Rendered, Scene
from api_cli.masking.settings import MaskSettings


def heat(scene: Scene, settings: MaskSettings) -> Rendered:
    """The image in grey under the mask from dark blue through red to yellow; a flat one, bare."""
    if scene.mask.flat:
        return Rendered({"file_name": scene.image})
    return Rendered({"file_name": colour(scene.image, scene.levels)})
