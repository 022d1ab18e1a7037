"""`blur`: what does not matter is out of focus (FGVP's blur reverse mask, arXiv 2306.04356)."""

from __future__ import annotations

from PIL import Image, ImageFilter

from api_cli.masking.renderings.scene import Rendered, Scene
from api_cli.masking.settings import MaskSettings

RADIUS = 0.02
"""Standard deviation of the blur, as a share of the image's longer side."""

_FINE = 5  # pixels of the standard deviation that are left where the image is made smaller first


def blur(scene: Scene, settings: MaskSettings) -> Rendered:
    """The image where the mask is bright, a Gaussian blur of it where that is dark."""
    blurred = _blurred(scene.image, RADIUS * max(scene.image.size))
    return Rendered({"file_name": Image.composite(scene.image, blurred, scene.levels)})


def _blurred(image: Image.Image, radius: float) -> Image.Image:
    """A Gaussian blur; where it is wide that of a smaller image, a quarter of the work."""
    factor = max(1, int(radius / _FINE))
    small = image.reduce(factor).filter(ImageFilter.GaussianBlur(radius / factor))
    box = (0, 0, image.width / factor, image.height / factor)  # its last pixels may stand for less
    return small.resize(image.size, Image.Resampling.BILINEAR, box)
