"""`black`: nothing outside the kept regions (CARVE's first step, arXiv 2509.06461)."""

from __future__ import annotations

from api_cli.masking.render import blend
from api_cli.masking.renderings.scene import Rendered, Scene
from api_cli.masking.settings import MaskSettings


def black(scene: Scene, settings: MaskSettings) -> Rendered:
    """The kept patches as they are, all else of one grey level: black where nobody says other."""
    kept = scene.at_size(scene.regions)
    return Rendered({"file_name": blend(scene.image, kept, settings.grayscale)})
