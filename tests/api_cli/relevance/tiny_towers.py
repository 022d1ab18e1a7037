"""Small CLIPs of every kind of image tower, with random weights, as model folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm.models
import torch
from safetensors.torch import save_file
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer

from api_cli.relevance.clip.towers import Kind
from api_cli.relevance.clip.towers.table import TIMM_CLS, TIMM_POOL, TRUNKS, Trunk

SIDE, PATCH, LAYERS = 48, 8, 3
SMALL: dict[str, Any] = {
    "img_size": SIDE,
    "patch_size": PATCH,
    "embed_dim": 32,
    "depth": LAYERS,
    "num_heads": 2,
}
EVA02: dict[str, Any] = {
    "qkv_fused": False, "mlp_ratio": 8 / 3, "swiglu_mlp": True, "scale_mlp": True,
    "scale_attn_inner": True, "use_rot_pos_emb": True, "ref_feat_shape": (4, 4),
}  # fmt: skip
PE: dict[str, Any] = {
    "attn_type": "rope", "use_pre_transformer_norm": True, "use_rot_pos_emb": True,
    "ref_feat_shape": (6, 6), "rope_grid_indexing": "xy", "attn_pool_num_heads": 4,
}  # fmt: skip
TIMM: dict[str, tuple[Kind, type, dict[str, Any]]] = {
    "tiny_eva01": (TIMM_CLS, Eva, {"init_values": 0.5}),
    "tiny_eva02": (TIMM_CLS, Eva, EVA02),
    "tiny_mobileclip": (TIMM_CLS, VisionTransformer, {"init_values": 0.5}),
    "tiny_vit": (TIMM_CLS, VisionTransformer, {"pre_norm": True}),
    "tiny_siglip": (TIMM_POOL, VisionTransformer, {"class_token": False}),
    "tiny_pe": (TIMM_POOL, Eva, PE),
    "tiny_pe_without_cls": (TIMM_POOL, Eva, {**PE, "class_token": False}),
}
OWN: dict[str, dict[str, Any]] = {
    "cls": {},
    "clipa": {"pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True},
    "coca": {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
    "coca_equal_widths": {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
}
TIMM_CLASS_TOKEN = tuple(name for name, row in TIMM.items() if row[0] is TIMM_CLS)
ATTENTION_POOLS = (*(name for name, row in TIMM.items() if row[0] is TIMM_POOL), *list(OWN)[2:])
ALL = (*TIMM, *OWN)


def register(patch: pytest.MonkeyPatch) -> None:
    """Let timm build the small trunks, and the program's table know them."""
    for name, (kind, cls, shape) in TIMM.items():

        def build(cls: Any = cls, shape: dict[str, Any] = shape, **given: Any) -> Any:
            wanted = {key: given[key] for key in ("num_classes", "global_pool") if key in given}
            return cls(**(SMALL | shape | wanted))

        build.__name__ = name
        if not timm.is_model(name):  # of another module's tests
            timm.models.register_model(build)
        patch.setitem(TRUNKS, name, Trunk(kind, LAYERS, SIDE, PATCH))


def configuration(name: str) -> dict[str, Any]:
    """What open_clip_config.json says of a model."""
    text: dict[str, Any] = {
        "context_length": 32,
        "vocab_size": 49408,
        "width": 32,
        "heads": 2,
        "layers": 1,
    }
    config: dict[str, Any] = {"embed_dim": 24, "text_cfg": text}
    if name in OWN:
        config["vision_cfg"] = {"image_size": SIDE, "patch_size": PATCH, "width": 32,
                                "head_width": 16, "layers": LAYERS, **OWN[name]}  # fmt: skip
        if name.startswith("coca"):
            config["embed_dim"] = 32 if name == "coca_equal_widths" else 24
            text |= {"embed_cls": True, "output_tokens": True}
            config["multimodal_cfg"] = {**text, "attn_pooler_heads": 4}
            del config["multimodal_cfg"]["embed_cls"], config["multimodal_cfg"]["output_tokens"]
        return config
    is_pool = TIMM[name][0] is TIMM_POOL
    config["vision_cfg"] = {"timm_model_name": name, "image_size": SIDE,
                            "timm_pool": "map" if is_pool else "token"}  # fmt: skip
    config["vision_cfg"]["timm_proj"] = None
    if name == "tiny_siglip":
        config |= {"embed_dim": 32, "custom_text": True, "init_logit_bias": -10}
        config["vision_cfg"]["timm_proj"] = "none"
    return config


def write(folder: Path, name: str) -> Path:
    """Write a small model of that kind, none of whose parts lie idle."""
    config = configuration(name)
    torch.manual_seed(sum(map(ord, name)))
    kind: Any = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CLIP
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else kind
    known = {key: value for key, value in config.items() if key != "custom_text"}
    model = kind(**known)
    for part, weight in model.visual.named_parameters():
        is_norm = weight.ndim == 1 and part.endswith("weight")
        torch.nn.init.normal_(weight, mean=float(is_norm), std=0.3 if weight.ndim == 1 else 0.25)
    folder.mkdir(parents=True)
    weights = {part: tensor.contiguous() for part, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    squash = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    description = {"model_cfg": config, "preprocess_cfg": squash}
    (folder / "open_clip_config.json").write_text(json.dumps(description))
    return folder
