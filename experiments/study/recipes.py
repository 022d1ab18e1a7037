"""What is tried: ways to a mask and to a masked picture, as the flags of a command each."""

from __future__ import annotations

from typing import NamedTuple


class Recipe(NamedTuple):
    """A way to masked pictures.

    Attributes:
        name: for tables; the names of its run folders follow where it has several.
        command: `clip` or `llava`.
        flags: of it; those that sweep give several settings.
        fades: whether its pictures are faded by its own map as API does, so that they can be
            by the map's inverse.
    """

    name: str
    command: str
    flags: tuple[str, ...] = ()
    fades: bool = False


RECIPES = (
    Recipe("API-CLIP", "clip", ("--enhance-coe", "1,2,5", "--grayscale", "0,128"), fades=True),
    Recipe("API-CLIP", "clip", ("--floor", "0.5"), fades=True),
    Recipe("API-CLIP", "clip", ("--render", "blur,outline,crop,warp")),
    Recipe("API-LLaVA", "llava", ("--grayscale", "0,128"), fades=True),
    Recipe("VEA", "llava", ("--config", "vea")),
    # a model that was shown one picture at a time gets ViCrop's crop without the original
    Recipe("ViCrop's crop", "llava", ("--config", "vicrop", "--render", "crop")),
    Recipe("CARVE", "llava", ("--config", "carve")),
    Recipe("AttWarp", "llava", ("--config", "attwarp")),
)
