"""What tells one method from the other once its relevance maps are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from api_cli.masking.mask import Mask, clip_mask, llava_mask
from api_cli.masking.settings import MaskSettings
from api_cli.masking.steps import Array


class Method(NamedTuple):
    """A method of METHOD.md.

    Attributes:
        name: of its subcommand.
        folder_prefix: first part of its run folders' names (METHOD.md section 6).
        make_mask: maps (M, h, w), settings and, where those say so, maps under the general question
            to a mask.
        maps: name of each of the M maps, and the sign that makes relevant patches large.
    """

    name: str
    folder_prefix: str
    make_mask: Callable[[Array, MaskSettings, Array | None], Mask]
    maps: tuple[tuple[str, int], ...]


CLIP = Method("clip", "APICLIP", clip_mask, (("cls_map", 1), ("patch_map", -1)))
LLAVA = Method("llava", "APILLaVA", llava_mask, (("attention_map", 1),))
