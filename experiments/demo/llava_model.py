"""The demo LLaVA as a `transformers` model folder: tokenizer, processor, sizes, first weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from clip_batches import FILL
from questions import KINDS, corpus
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from torch import nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from api_cli.options.prompt import PROMPT_TEMPLATE as PROMPT

DEMO_CLIP = Path(__file__).parents[2] / "api_cli" / "models" / "demo_clip"
PAD, START, END, IMAGE = "<pad>", "<s>", "</s>", "<image>"
VOCABULARY = 1500  # at most; 256 bytes, then pieces of words
SIZE, PATCH = 144, 12
GRID = SIZE // PATCH
MEAN, STD = FILL / 255, 0.25  # of the pixels, in [0, 1]
RELEVANCE_LAYER = 2


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer, which can spell any text; the prompt and the nouns stay short.

    It lower-cases, and starts a line like any word, with a space: "Dog" is the same token at the
    start of a question as within one.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace("\n", "\n ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=2,
        special_tokens=[PAD, START, END, IMAGE],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    places = "top left bottom right centre yes no"
    texts = [f" {text}" for text in corpus()]
    texts += 50 * [*PROMPT.format(question=" ".join(KINDS)).split(IMAGE), f" {places}"]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, tokenizer.token_to_id(START))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )


def make_processor() -> LlavaProcessor:
    """Images are resized as they are, without a crop: whoever calls pads them to a square."""
    images = CLIPImageProcessorPil(
        size={"height": SIZE, "width": SIZE},
        do_center_crop=False,
        crop_size={"height": SIZE, "width": SIZE},
        image_mean=[MEAN] * 3,
        image_std=[STD] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=make_tokenizer(),
        patch_size=PATCH,
        num_additional_image_tokens=1,  # CLS, which "default" leaves out
        vision_feature_select_strategy="default",
    )


def make_config(
    tokenizer: PreTrainedTokenizerFast, *, tower_layers: int, layers: int, width: int, inner: int
) -> LlavaConfig:
    """Sizes of the whole model; heads are 64 wide throughout."""
    vision = CLIPVisionConfig(
        image_size=SIZE,
        patch_size=PATCH,
        hidden_size=192,
        intermediate_size=768,
        num_hidden_layers=tower_layers,
        num_attention_heads=3,
        hidden_act="gelu",
        projection_dim=128,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        num_key_value_heads=width // 64,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=GRID * GRID,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        relevance_layer=RELEVANCE_LAYER,
    )


def tower_from_clip(folder: Path = DEMO_CLIP) -> dict[str, torch.Tensor]:
    """The demo CLIP's image tower, open_clip's names turned into those of `CLIPVisionModel`."""
    weights = load_file(folder / "open_clip_model.safetensors")
    visual = {
        key.removeprefix("visual."): value.float()
        for key, value in weights.items()
        if key.startswith("visual.")
    }
    tower = {
        "embeddings.class_embedding": visual["class_embedding"],
        "embeddings.position_embedding.weight": visual["positional_embedding"],
        "embeddings.patch_embedding.weight": visual["conv1.weight"],
    }
    for part in ("weight", "bias"):
        tower[f"pre_layrnorm.{part}"] = visual[f"ln_pre.{part}"]
        tower[f"post_layernorm.{part}"] = visual[f"ln_post.{part}"]
    names = {
        "ln_1": "layer_norm1",
        "attn.out_proj": "self_attn.out_proj",
        "ln_2": "layer_norm2",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
    }
    blocks = {int(key.split(".")[2]) for key in visual if key.startswith("transformer.")}
    for i in blocks:
        old, new = f"transformer.resblocks.{i}", f"encoder.layers.{i}"
        for part in ("weight", "bias"):
            for theirs, ours in names.items():
                tower[f"{new}.{ours}.{part}"] = visual[f"{old}.{theirs}.{part}"]
            packed = visual[f"{old}.attn.in_proj_{part}"].chunk(3)
            for letter, value in zip("qkv", packed, strict=True):
                tower[f"{new}.self_attn.{letter}_proj.{part}"] = value
    return tower


def make_model(config: LlavaConfig) -> LlavaForConditionalGeneration:
    """First weights: the tower is the demo CLIP's, blocks beyond it pass their input on."""
    # Eager attention: its backward is the fastest on CPUs.
    model = LlavaForConditionalGeneration._from_config(config, attn_implementation="eager")
    tower = model.model.vision_tower
    missing, unexpected = tower.load_state_dict(tower_from_clip(), strict=False)
    if unexpected or any(not name.startswith("encoder.layers.") for name in missing):
        raise ValueError(f"the demo CLIP does not fit: {missing}, {unexpected}")
    for name in {name.split(".")[2] for name in missing}:
        block = tower.encoder.layers[int(name)]
        for last in (block.self_attn.out_proj, block.mlp.fc2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    return model


def export(
    model: LlavaForConditionalGeneration, processor: LlavaProcessor, destination: Path
) -> None:
    """Replace the model folder's files: weights in fp16, configs, tokenizer and processor.

    The config asks for float32 in memory, which CPUs compute several times faster than float16.
    """
    fresh = destination.with_name(f"{destination.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    state: dict[str, Any] = {k: v.detach().half() for k, v in model.state_dict().items()}
    model.generation_config.max_new_tokens = 20
    model.save_pretrained(fresh, state_dict=state)
    processor.save_pretrained(fresh)
    config_file = fresh / "config.json"
    config = json.loads(config_file.read_text(encoding="utf-8")) | {"dtype": "float32"}
    config_file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    destination.mkdir(parents=True, exist_ok=True)
    for path in fresh.iterdir():
        path.chmod(0o644)
        path.replace(destination / path.name)
    fresh.rmdir()
