"""`fade`: what does not matter fades to a grey level (METHOD.md section 4; API, VEA)."""

from __future__ import annotations

from api_cli.masking.render import blend
from api_cli.masking.renderings.scene import Rendered, Scene
from api_cli.masking.settings import MaskSettings


def fade(scene: Scene, settings: MaskSettings) -> Rendered:
    """The image, `settings.grayscale` where the mask is dark."""
    return Rendered({"file_name": blend(scene.image, scene.levels, settings.grayscale)})
