"""Vision-language models of every family, tiny and random, as transformers saves real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import CONFIG_MAPPING, AutoModelForImageTextToText, PreTrainedTokenizerFast

hf: Any = transformers  # whose classes are partly typed
LAYERS, HIDDEN, HEADS, GROUPS = 4, 32, 4, 2
PATCH = 8
_ROWS = [f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)]
_SPECIAL = [
    "<pad>", "<s>", "</s>", "<image>", "<video>", "<boi>", "<eoi>", "<vision_start>",
    "<vision_end>", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "<fake_token_around_image>",
    "<end_of_utterance>", "<global-img>", *_ROWS, "<|image|>", "<im_patch>", "<im_col>",
    "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>", "<im_low>",
]  # fmt: skip
_TEMPLATE = (
    "{%% for message in messages %%}USER: {%% for part in message['content'] %%}"
    "{%% if part['type'] == 'image' %%}%s{%% else %%}{{ part['text'] }}{%% endif %%}{%% endfor %%}"
    "{%% endfor %%}\nASSISTANT:"
)
_TEXT = {
    "hidden_size": HIDDEN, "intermediate_size": 48, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": GROUPS, "head_dim": HIDDEN // HEADS,
    "max_position_embeddings": 4096, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_TOWER = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
    "patch_size": PATCH,
}  # fmt: skip
_MROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
_SQUARE = {"height": 32, "width": 32}
_PINPOINTS = [[32, 64], [64, 32], [64, 64], [32, 96], [96, 32]]


def make_tokenizer(starts: bool = True, **names: str) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, with every family's special tokens; `<s>` before a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: index for index, word in enumerate([*_SPECIAL, *alphabet])}
    vocabulary = Tokenizer(models.BPE(words, []))
    vocabulary.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocabulary.decoder = decoders.ByteLevel()
    if starts:
        vocabulary.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    vocabulary.add_special_tokens(_SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=vocabulary,
        bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        extra_special_tokens=names,
    )  # fmt: skip


def token(name: str) -> int:
    return _SPECIAL.index(name)


def _config(model_type: str, text: Any, vision: Any, **more: Any) -> Any:
    config_class: Any = CONFIG_MAPPING[model_type]
    return config_class(text_config=text, vision_config=vision, **more)


def _text(model_type: str, size: int, **more: Any) -> dict[str, Any]:
    return {"model_type": model_type, **_TEXT, "vocab_size": size, **more}


def _qwen(kind: str) -> tuple[Any, Any]:
    tokenizer = make_tokenizer(starts=False, image_token="<image>", video_token="<video>")
    size = len(tokenizer)
    ids = {
        "image_token_id": token("<image>"), "video_token_id": token("<video>"),
        "vision_start_token_id": token("<vision_start>"),
        "vision_end_token_id": token("<vision_end>"),
    }  # fmt: skip
    shared: dict[str, Any] = {
        "patch_size": PATCH,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    wide: dict[str, Any] = {
        "depth": 2,
        "hidden_size": 16,
        "num_heads": 2,
        "intermediate_size": 24,
        **shared,
    }
    out = {"out_hidden_size": HIDDEN}
    vision: dict[str, Any] = {
        "qwen2_vl": {"depth": 2, "embed_dim": 16, "num_heads": 2, "hidden_size": HIDDEN, **shared},
        "qwen2_5_vl": {**wide, **out, "window_size": 32, "fullatt_block_indexes": [1]},
        "qwen3_vl": {**wide, **out, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
        "qwen3_5": {**wide, **out, "num_position_embeddings": 64},
        "glm4v": {**wide, **out, "image_size": 64},
    }[kind]
    linear = {
        "layer_types": ["linear_attention", "full_attention"] * 2, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    }  # fmt: skip
    rope: dict[str, Any] = {"rope_parameters": {**_MROPE}}
    if kind == "glm4v":
        rope["rope_parameters"] |= {"partial_rotary_factor": 0.5, "mrope_section": [1, 1, 0]}
        ids |= {"image_start_token_id": token("<vision_start>")}
        ids |= {"image_end_token_id": token("<vision_end>")}
        del ids["vision_start_token_id"], ids["vision_end_token_id"]
    if kind == "qwen3_5":
        rope["rope_parameters"] |= {"partial_rotary_factor": 1.0, "mrope_interleaved": True}
    text = {**_TEXT, "vocab_size": size, **rope, **(linear if kind == "qwen3_5" else {})}
    if kind.startswith("qwen2"):
        del text["head_dim"]
    images: dict[str, Any] = {
        "patch_size": PATCH, "merge_size": 2, "temporal_patch_size": 2,
        "size": {"shortest_edge": 16 * 16, "longest_edge": 192 * 192},
    }  # fmt: skip
    if kind == "glm4v":
        images["size"] = {"shortest_edge": 2 * 16 * 16, "longest_edge": 2 * 192 * 192}
        processor = hf.Glm4vProcessor(
            hf.Glm4vImageProcessor(**images), tokenizer, hf.Glm4vVideoProcessor()
        )
    else:
        kinds = {"qwen2_vl": hf.Qwen2VLProcessor, "qwen2_5_vl": hf.Qwen2_5_VLProcessor}
        processor = kinds.get(kind, hf.Qwen3VLProcessor)(
            hf.Qwen2VLImageProcessor(**images),
            tokenizer,
            hf.Qwen2VLVideoProcessor() if kind in kinds else hf.Qwen3VLVideoProcessor(),
        )
    processor.chat_template = _TEMPLATE % "<vision_start><image><vision_end>"
    return _config(kind, text, vision, **ids), processor


def _siglip(side: int = 32) -> dict[str, Any]:
    return {"model_type": "siglip_vision_model", **_TOWER, "image_size": side,
            "vision_use_head": False}  # fmt: skip


def _gemma3() -> tuple[Any, Any]:
    tokenizer = make_tokenizer(image_token="<image>", boi_token="<boi>", eoi_token="<eoi>")
    kinds = ["sliding_attention", "full_attention"] * 2
    text = _text("gemma3_text", len(tokenizer), sliding_window=16, layer_types=kinds,
                 query_pre_attn_scalar=8)  # fmt: skip
    config = _config(
        "gemma3", text, _siglip(64), mm_tokens_per_image=16, image_token_index=token("<image>"),
        boi_token_index=token("<boi>"), eoi_token_index=token("<eoi>"),
    )  # fmt: skip
    images = hf.Gemma3ImageProcessor(size={"height": 64, "width": 64})
    processor = hf.Gemma3Processor(images, tokenizer, image_seq_length=16)
    processor.chat_template = "<s>" + _TEMPLATE % "<boi>"
    return config, processor


def _paligemma(language: str) -> tuple[Any, Any]:
    tokenizer = make_tokenizer(starts=False, image_token="<image>")
    images = hf.SiglipImageProcessor(size=_SQUARE)
    images.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(images, tokenizer)
    more = {} if language == "gemma" else {"sliding_window": 16, "query_pre_attn_scalar": 8,
                                           "attn_logit_softcapping": 2.0}  # fmt: skip
    text = _text(language, len(processor.tokenizer), num_image_tokens=16, **more)
    config = _config(
        "paligemma", text, {**_siglip(), "projection_dim": HIDDEN},
        image_token_index=token("<image>"), projection_dim=HIDDEN, hidden_size=HIDDEN,
    )  # fmt: skip
    return config, processor


def _internvl() -> tuple[Any, Any]:
    tokenizer = make_tokenizer(
        starts=False, start_image_token="<boi>", end_image_token="<eoi>",
        context_image_token="<image>", video_token="<video>",
    )  # fmt: skip
    vision = {**_TOWER, "image_size": [32, 32], "patch_size": [PATCH, PATCH]}
    config = _config(
        "internvl", _text("qwen2", len(tokenizer)), vision, image_token_id=token("<image>"),
        image_seq_length=4, downsample_ratio=0.5,
    )  # fmt: skip
    images = hf.GotOcr2ImageProcessor(
        size=_SQUARE, crop_to_patches=True, min_patches=1, max_patches=6
    )
    processor = hf.InternVLProcessor(
        images, tokenizer, hf.InternVLVideoProcessor(), image_seq_length=4
    )
    processor.chat_template = _TEMPLATE % "<image>\n"
    return config, processor


def _idefics(kind: str) -> tuple[Any, Any]:
    tokenizer = make_tokenizer(
        fake_image_token="<fake_token_around_image>", image_token="<image>",
        end_of_utterance_token="<end_of_utterance>", global_image_token="<global-img>",
    )  # fmt: skip
    edges: dict[str, Any] = {
        "size": {"longest_edge": 96}, "max_image_size": {"longest_edge": 32},
        "do_image_splitting": True,
    }  # fmt: skip
    processor = (
        hf.Idefics3Processor(hf.Idefics3ImageProcessor(**edges), tokenizer, image_seq_len=4)
        if kind == "idefics3"
        else hf.SmolVLMProcessor(
            hf.SmolVLMImageProcessor(**edges), tokenizer, hf.SmolVLMVideoProcessor(), 4
        )
    )
    processor.chat_template = "<s>" + _TEMPLATE % "<image>"
    config = _config(
        kind, _text("llama", len(processor.tokenizer)), {**_TOWER, "image_size": 32},
        image_token_id=token("<image>"), scale_factor=2,
    )  # fmt: skip
    return config, processor


def _pixtral(kind: str) -> tuple[Any, Any]:
    tokenizer = make_tokenizer()
    merge = 2 if kind == "mistral3" else 1
    images = hf.PixtralImageProcessor(
        size={"longest_edge": 120}, patch_size={"height": PATCH, "width": PATCH}
    )
    processor = hf.PixtralProcessor(images, tokenizer, patch_size=PATCH, spatial_merge_size=merge)
    processor.chat_template = "<s>" + _TEMPLATE % "[IMG]"
    vision = {"model_type": "pixtral", **_TOWER, "image_size": 128, "head_dim": 8}
    more: dict[str, Any] = {"image_token_index": token("[IMG]"), "vision_feature_layer": -1}
    if kind == "mistral3":
        more["spatial_merge_size"] = 2
    else:
        more["vision_feature_select_strategy"] = "full"
    text = _text("mistral", len(tokenizer), sliding_window=None)
    return _config(kind, text, vision, **more), processor


def _anyres(kind: str) -> tuple[Any, Any]:
    tokenizer = make_tokenizer(image_token="<image>", video_token="<video>")
    more: dict[str, Any] = {
        "image_token_index": token("<image>"), "image_grid_pinpoints": _PINPOINTS,
        "vision_feature_layer": -1,
    }  # fmt: skip
    if kind == "llava_next":
        vision = {"model_type": "clip_vision_model", **_TOWER, "image_size": 32}
        more |= {"vision_feature_select_strategy": "default"}
        edge = {"shortest_edge": 32}
        images = hf.LlavaNextImageProcessor(
            size=edge, crop_size=_SQUARE, image_grid_pinpoints=_PINPOINTS
        )
        processor = hf.LlavaNextProcessor(
            images, tokenizer, patch_size=PATCH, vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        )  # fmt: skip
    else:
        vision = _siglip()
        more |= {"vision_aspect_ratio": "anyres_max_1", "video_token_index": token("<video>"),
                 "vision_feature_select_strategy": "full"}  # fmt: skip
        images = hf.LlavaOnevisionImageProcessor(size=_SQUARE, image_grid_pinpoints=_PINPOINTS)
        processor = hf.LlavaOnevisionProcessor(
            images, tokenizer, hf.LlavaOnevisionVideoProcessor(), num_image_tokens=16,
            vision_feature_select_strategy="full", vision_aspect_ratio="anyres_max_1",
        )  # fmt: skip
    processor.chat_template = "<s>" + _TEMPLATE % "<image>\n"
    return _config(kind, _text("llama", len(tokenizer)), vision, **more), processor


def _molmo2() -> tuple[Any, Any]:
    tokenizer = make_tokenizer(starts=False, image_token="<|image|>", video_token="<video>")
    images = hf.Molmo2ImageProcessor(
        size={"height": 56, "width": 56}, patch_size=PATCH, max_crops=4, overlap_margins=[1, 1]
    )
    processor = hf.Molmo2Processor(images, hf.Molmo2VideoProcessor(), tokenizer)
    processor.chat_template = _TEMPLATE % "<|image|>"
    heads = {"num_key_value_heads": 2, "head_dim": 8}
    text = {**_TEXT, "vocab_size": len(tokenizer), "additional_vocab_size": 8,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}  # fmt: skip
    config = _config(
        "molmo2",
        text,
        {**_TOWER, **heads, "image_size": [56, 56]},
        adapter_config={"vision_feature_layer": [1, 0], "hidden_size": 16, "num_attention_heads": 2,
                        **heads, "intermediate_size": 24, "text_hidden_size": HIDDEN},
        image_start_token_id=token("<im_start>"), image_end_token_id=token("<im_end>"),
        low_res_image_start_token_id=token("<low_res_im_start>"),
        image_patch_id=token("<im_patch>"),
        frame_start_token_id=token("<frame_start>"), frame_end_token_id=token("<frame_end>"),
    )  # fmt: skip
    return config, processor


_MAKERS: dict[str, Callable[[], tuple[Any, Any]]] = {
    **{k: lambda k=k: _qwen(k) for k in  # type: ignore[misc]
       ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_5", "glm4v")},
    "gemma3": _gemma3,
    "paligemma": lambda: _paligemma("gemma"),
    "paligemma2": lambda: _paligemma("gemma2"),
    "internvl": _internvl,
    "idefics3": lambda: _idefics("idefics3"),
    "smolvlm": lambda: _idefics("smolvlm"),
    "mistral3": lambda: _pixtral("mistral3"),
    "pixtral": lambda: _pixtral("llava"),
    "llava_next": lambda: _anyres("llava_next"),
    "llava_onevision": lambda: _anyres("llava_onevision"),
    "molmo2": _molmo2,
}  # fmt: skip
SETUPS = tuple(_MAKERS)


def write_vlm(folder: Path, setup: str) -> None:
    """Write a small model of a family with random weights, and its processor."""
    config, processor = _MAKERS[setup]()
    processor.save_pretrained(folder)
    torch.manual_seed(len(setup))
    model: Any = AutoModelForImageTextToText.from_config(config)
    for name, weight in model.named_parameters():  # attention that looks somewhere
        if weight.ndim >= 2:
            gain = 2.0 if "q_proj" in name or "k_proj" in name else 1.5
            torch.nn.init.normal_(weight, std=gain * weight[0].numel() ** -0.5)
    model.generation_config.eos_token_id = [2, *range(len(_SPECIAL) + 40, len(_SPECIAL) + 70)]
    model.save_pretrained(folder)
