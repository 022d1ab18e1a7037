"""The table of image towers: the reader that a configuration needs, or why none fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import Any, NamedTuple

import open_clip
from open_clip.utils import to_2tuple

from api_cli.relevance.clip.towers import Kind
from api_cli.relevance.clip.towers.attention_pool import (
    open_clip_attention_pool,
    timm_attention_pool,
)
from api_cli.relevance.clip.towers.open_clip_block import OpenClipTower, mean_row
from api_cli.relevance.clip.towers.timm_block import TimmTower
from api_cli.relevance.known_keys import only

CLS = Kind("CLS token", OpenClipTower, -2, "")
TIMM_CLS = Kind("CLS token", TimmTower, -2, "")
AVERAGE = Kind(
    "average pool",
    partial(OpenClipTower, row=mean_row),
    -2,
    "its tower averages the patches and has no CLS row that counts, so the map is our analogue of "
    "the published method: attention averaged over the patches",
)
TIMM_POOL = Kind(
    "attention pool",
    timm_attention_pool,
    -1,
    "its tower pools by attention and has no CLS row inside, so the map is our analogue of the "
    "published method: what each patch adds to the pool, by default after the last layer",
)
COCA_POOL = TIMM_POOL._replace(read=open_clip_attention_pool)

_OWN_KEYS = [f.name for f in fields(open_clip.CLIPVisionCfg) if "timm" not in f.name]


class Unreadable(Exception):
    """Why no reader fits a tower."""


class Trunk(NamedTuple):
    """A tower of timm's that can be read: its kind, blocks, and sides of image and patch."""

    kind: Kind
    layers: int
    image_size: int
    patch_size: int


class Found(NamedTuple):
    """The tower of a configuration: its kind, number of blocks, and rows and columns of patches."""

    kind: Kind
    layers: int
    grid: tuple[int, int]


# by timm's name: no other is ever built, since a name can also stand for code or weights to fetch
TRUNKS: dict[str, Trunk] = {
    "eva_giant_patch14_224": Trunk(TIMM_CLS, 40, 224, 14),
    "eva02_base_patch16_clip_224": Trunk(TIMM_CLS, 12, 224, 16),
    "eva02_large_patch14_clip_224": Trunk(TIMM_CLS, 24, 224, 14),
    "eva02_large_patch14_clip_336": Trunk(TIMM_CLS, 24, 336, 14),
    "vit_base_mci_224": Trunk(TIMM_CLS, 12, 224, 16),
    "vit_large_patch14_clip_224": Trunk(TIMM_CLS, 24, 224, 14),
    **{
        f"vit_{name}_patch{patch}_siglip_{size}": Trunk(TIMM_POOL, layers, size, patch)
        for name, layers, patch, sizes in (
            ("base", 12, 16, (224, 256, 384, 512)),
            ("base", 12, 32, (256,)),
            ("large", 24, 16, (256, 384, 512)),
            ("so400m", 27, 14, (224, 378, 384)),
            ("so400m", 27, 16, (256, 384, 512)),
            ("giantopt", 40, 16, (256, 384)),
        )
        for size in sizes
    },
    "vit_pe_core_tiny_patch16_384": Trunk(TIMM_POOL, 12, 384, 16),
    "vit_pe_core_small_patch16_384": Trunk(TIMM_POOL, 12, 384, 16),
    "vit_pe_core_base_patch16_224": Trunk(TIMM_POOL, 12, 224, 16),
    "vit_pe_core_large_patch14_336": Trunk(TIMM_POOL, 24, 336, 14),
    "vit_pe_core_gigantic_patch14_448": Trunk(TIMM_POOL, 50, 448, 14),
}
_POOLS = {TIMM_CLS: ("token", (None,)), TIMM_POOL: ("map", (None, "none"))}  # and projections
_ODD = ("qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn")


def find_tower(vision: Mapping[str, Any]) -> Found:
    """The tower of a configuration's `vision_cfg`. Raises Unreadable."""
    if vision.get("timm_model_name"):
        return _find_trunk(vision)
    layers = vision.get("layers", 12)
    if not isinstance(layers, int):
        raise Unreadable("its image tower is a ResNet")
    for extra in _ODD:
        if vision.get(extra):
            raise Unreadable(f"its attention has {extra}")
    own = open_clip.CLIPVisionCfg(**only(vision, _OWN_KEYS))
    (height, width), (dy, dx) = to_2tuple(own.image_size), to_2tuple(own.patch_size)
    return Found(_kind_of_own(own), layers, (height // dy, width // dx))


def _kind_of_own(vision: Any) -> Kind:
    """Of one of open_clip's own ViTs. Raises Unreadable."""
    if isinstance(vision.attentional_pool, str):
        raise Unreadable(f"its image tower pools by attention twice ({vision.attentional_pool})")
    if vision.pool_type == "tok":
        return COCA_POOL if vision.attentional_pool else CLS
    if vision.pool_type == "avg" and vision.final_ln_after_pool and not vision.attentional_pool:
        return AVERAGE
    raise Unreadable(f"its image tower pools by {vision.pool_type!r}, not by the CLS token")


def _find_trunk(vision: Mapping[str, Any]) -> Found:
    """One of timm's towers. Raises Unreadable."""
    name = vision["timm_model_name"]
    trunk = TRUNKS.get(name) if isinstance(name, str) else None
    if trunk is None:
        raise Unreadable(f"its image tower is timm's {name}, {_why_not(str(name))}")
    pool, projections = _POOLS[trunk.kind]
    if vision.get("timm_pool") != pool or (vision.get("timm_proj") or None) not in projections:
        raise Unreadable(
            f"its image tower is timm's {name}, which is read with the pool {pool!r} and no "
            "projection of open_clip's"
        )
    size = to_2tuple(vision.get("image_size", open_clip.CLIPVisionCfg.image_size))
    if size != (trunk.image_size, trunk.image_size):
        raise Unreadable(
            f"its image tower is timm's {name}, which takes pictures of {trunk.image_size} pixels "
            f"a side, not {size[0]} x {size[1]}"
        )
    side = trunk.image_size // trunk.patch_size
    return Found(trunk.kind, trunk.layers, (side, side))


def _why_not(name: str) -> str:
    """What is in the way of reading one of timm's towers."""
    if name.startswith(("convnext", "fastvit", "swin")):
        return "convolutions or windows, in which no token attends to all patches"
    if name.startswith("vitamin"):
        return "a hybrid of convolutions and attention"
    if name.startswith("eva02_enormous"):
        return "which normalises after each layer's attention, not before it"
    return "which no reader knows"
