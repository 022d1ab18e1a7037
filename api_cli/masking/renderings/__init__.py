"""Renderings: one map, every visual prompt. A file each, and the table of their names.

A rendering takes a scene and the settings, and gives pictures by the manifest's column. A flat mask
has nothing to show: the image comes out unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from api_cli.masking.renderings.black import black
from api_cli.masking.renderings.blur import blur
from api_cli.masking.renderings.crop import crop, cutout, pair
from api_cli.masking.renderings.fade import fade
from api_cli.masking.renderings.heat import heat
from api_cli.masking.renderings.outline import outline
from api_cli.masking.renderings.scene import Rendered, Scene
from api_cli.masking.renderings.warp import warp
from api_cli.masking.settings import MaskSettings

__all__ = ["RENDERINGS", "Rendered", "Rendering", "Scene"]


class Rendering(NamedTuple):
    """A row of the table.

    Attributes:
        draw: pictures by the manifest's column, of a scene in some settings.
        about: what the asked model gets, in a few words.
        in_place: whether the first picture shows things where the original has them.
    """

    draw: Callable[[Scene, MaskSettings], Rendered]
    about: str
    in_place: bool = True


RENDERINGS = {
    "fade": Rendering(fade, "what does not matter is faded"),
    "blur": Rendering(blur, "what does not matter is blurred"),
    "black": Rendering(black, "nothing is left but the parts that matter"),
    "outline": Rendering(outline, "the parts that matter are outlined in red"),
    "crop": Rendering(crop, "the part that matters, enlarged", in_place=False),
    "pair": Rendering(pair, "the whole image, and the part that matters enlarged"),
    "cutout": Rendering(cutout, "the parts that matter alone, enlarged", in_place=False),
    "warp": Rendering(warp, "what matters is stretched, all else shrunk", in_place=False),
    "heat": Rendering(heat, "the mask in colours over the image, for people"),
}
