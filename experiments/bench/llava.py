"""LLaVA's maps against transformers' own generation of the same answers."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, LlavaConfig, LlavaForConditionalGeneration

from api_cli.options.prompt import PROMPT_TEMPLATE, fill
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import DEMO_FOLDER, LlavaCheckpoint
from api_cli.runs.pictures import decode
from experiments.bench.common import Row, compare, write_photographs
from experiments.bench.peak import megabytes_beyond

MIDDLE = {
    "vision_config": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
                      "intermediate_size": 3072},
    "text_config": {"hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 16,
                    "intermediate_size": 2816},
}  # fmt: skip
SEVEN_B = {
    "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
                      "intermediate_size": 4096},
    "text_config": {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
                    "intermediate_size": 11008},
}  # fmt: skip


def measure(batch_size: int, rounds: int) -> list[Row]:
    """Seconds and memory of `LlavaRelevance.relevance` over those of `generate` with SDPA.

    The same ready pictures and questions, answers of 20 tokens, random weights; at LLaVA-1.5-7B's
    shape in bf16 on a GPU, else a smaller language model in fp32. Memory is the peak beyond the
    loaded model, each way in a process of its own.
    """
    shape, precision = (SEVEN_B, "bf16") if torch.cuda.is_available() else (MIDDLE, "fp32")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_random_llava(folder / "model", shape, precision)
        write_photographs(folder, batch_size)
        ours, bare = ways(folder, batch_size)
        ratio = compare(ours, bare, rounds)
        del ours, bare
        memory = {
            way: float(
                subprocess.run(
                    [sys.executable, "-m", __name__, way, temporary, str(batch_size)],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                ).stdout
            )
            for way in ("ours", "bare")
        }
    return [
        {
            "language model": f"{shape['text_config']['num_hidden_layers']} layers, {precision}",
            "batch": batch_size,
            "ours s/sample": ratio.a_seconds / batch_size,
            "generate s/sample": ratio.b_seconds / batch_size,
            "ours / generate": ratio.median,
            "lowest": ratio.low,
            "highest": ratio.high,
            "ours MB": memory["ours"],
            "generate MB": memory["bare"],
            "memory ratio": memory["ours"] / memory["bare"],
        }
    ]


def write_random_llava(folder: Path, shape: dict[str, dict[str, int]], precision: str) -> None:
    """A LLaVA with 576 image tokens of 336 pixels, the demo's tokenizer, and no short answers."""
    processor_class: Any = AutoProcessor
    processor = processor_class.from_pretrained(DEMO_FOLDER)
    side = {"height": 336, "width": 336}
    processor.patch_size = 14
    processor.image_processor.size = {"shortest_edge": 336}
    processor.image_processor.crop_size = side
    processor.save_pretrained(folder)
    vision = {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14}
    config_class: Any = LlavaConfig
    config = config_class(
        vision_config=vision | shape["vision_config"],
        text_config={"model_type": "llama", "vocab_size": 32064} | shape["text_config"],
        image_token_id=processor.image_token_id,
    )
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    torch.manual_seed(0)
    model_class: Any = LlavaForConditionalGeneration
    model = model_class._from_config(config, dtype=dtype)
    model.generation_config.eos_token_id = 32063  # which greedy decoding does not meet
    model.save_pretrained(folder)


def ways(folder: Path, batch_size: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Our work, and transformers' alone, on the same ready batch with the same weights."""
    relevance = LlavaRelevance(LlavaCheckpoint(str(folder / "model")))
    model: Any = relevance.model
    layer = relevance.number_of_layers * 5 // 8
    images = [relevance.prepare(decode(p.read_bytes())) for p in sorted(folder.glob("*.jpg"))]
    questions = [f"what is thing {i} doing, {'and why, ' * i}?" for i in range(batch_size)]
    prompts = [fill(PROMPT_TEMPLATE, q, "<image>" * 576) for q in questions]
    inputs = relevance.tokenizer(prompts, padding=True, return_tensors="pt").to(model.device)
    pixels = torch.stack([image.pixels for image in images]).to(model.device, model.dtype)
    ours_is = model.model.language_model.config._attn_implementation

    def ours() -> None:
        model.set_attn_implementation({"text_config": ours_is})
        relevance.relevance(images, questions, [layer])

    @torch.inference_mode()
    def bare() -> None:
        model.set_attn_implementation({"text_config": "sdpa"})
        made = model.generate(**inputs, pixel_values=pixels)
        assert made.shape[1] == inputs["input_ids"].shape[1] + 20

    return ours, bare


if __name__ == "__main__":
    [way, folder, batch_size] = sys.argv[1:]
    work = dict(zip(("ours", "bare"), ways(Path(folder), int(batch_size)), strict=True))[way]
    print(megabytes_beyond(work))
