"""`outline`: a bright line around the kept regions, nothing hidden (FGVP; Set-of-Mark's box)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from api_cli.masking.renderings.scene import Rendered, Scene
from api_cli.masking.settings import MaskSettings

COLOUR = (255, 0, 0)
WIDTH = 0.01
"""Of the line, as a share of the image's longer side; at least a pixel."""


def outline(scene: Scene, settings: MaskSettings) -> Rendered:
    """The image with a line just outside the kept patches, just inside at the image's own edge.

    What fills the whole image has no outline.
    """
    kept = scene.regions
    if kept.all():
        return Rendered({"file_name": scene.image})
    width, height = scene.image.size
    thick = max(1, round(WIDTH * max(width, height)))
    rows, columns = scene.edges
    patches = [
        (rows[y], rows[y + 1], columns[x], columns[x + 1])
        for y, x in np.argwhere(kept)
        if rows[y] < rows[y + 1] and columns[x] < columns[x + 1]
    ]
    line = np.zeros((height, width), np.uint8)
    for top, bottom, left, right in patches:
        line[max(top - thick, 0) : bottom + thick, max(left - thick, 0) : right + thick] = 255
    for top, bottom, left, right in patches:
        inside = slice(max(top, thick), min(bottom, height - thick))
        line[inside, max(left, thick) : min(right, width - thick)] = 0
    outlined = scene.image.copy()
    outlined.paste(COLOUR, mask=Image.fromarray(line))
    return Rendered({"file_name": outlined})
