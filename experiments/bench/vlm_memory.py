"""What reading layers of a today's vision-language model costs in memory: a Qwen2.5-VL's."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image

from api_cli.relevance.llava.vlm import VlmRelevance
from api_cli.relevance.llava.vlm_checkpoint import VlmCheckpoint
from experiments.bench.common import Row, write_photographs
from experiments.bench.peak import megabytes_beyond
from tests.tiny_vlms import make_tokenizer, token

hf: Any = transformers  # whose classes are partly typed
_LAYERS = (3, 7, 10)
_NEW_TOKENS = 5
_CELL = 28  # pixels a side of what one token sees
_SHAPE = {"hidden_size": 1024, "num_hidden_layers": 12, "num_attention_heads": 8,
          "num_key_value_heads": 4, "intermediate_size": 2816}  # fmt: skip


def measure(numbers: Sequence[int]) -> list[Row]:
    """Megabytes at the peak beyond the loaded model, of three ways with the same prompt.

    `VlmRelevance.relevance` of three layers; plain `generate` with SDPA; and `generate` with
    `output_attentions`, for which the language model's attention is eager (the tower's stays as
    it is). One picture of about so many image tokens, answers of 5 tokens, random weights in fp32,
    each way in a process of its own.
    """
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_random_qwen(folder / "model")
        [path] = write_photographs(folder, 1, megapixels=0.5)
        for number in numbers:
            size = _size_of(number)
            with Image.open(path) as picture:
                picture.resize(size).save(folder / f"{number}.png")
            took = {way: _in_a_process(way, folder, number) for way in WAYS}
            rows.append(
                {
                    "image tokens": size[0] * size[1] // _CELL**2,
                    "ours MB": took["ours"],
                    "generate MB": took["plain"],
                    "ours / generate": took["ours"] / took["plain"],
                    "whole attention MB": took["attentions"],
                    "whole / ours": took["attentions"] / took["ours"],
                }
            )
    return rows


def write_random_qwen(folder: Path) -> None:
    """A Qwen2.5-VL with 12 layers of 1024, real patches, and no end to its answers."""
    tokenizer = make_tokenizer(starts=False, image_token="<image>", video_token="<video>")
    images = hf.Qwen2VLImageProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 5000 * 28**2})
    processor = hf.Qwen2_5_VLProcessor(images, tokenizer, hf.Qwen2VLVideoProcessor())
    processor.chat_template = (
        "{% for message in messages %}USER: {% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<vision_start><image><vision_end>"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}\nASSISTANT:"
    )
    processor.save_pretrained(folder)
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 8192,
            "bos_token_id": None, "eos_token_id": None,
            "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24],
                                "rope_theta": 10000.0}}  # fmt: skip
    vision = {"depth": 6, "hidden_size": 320, "num_heads": 4, "intermediate_size": 864,
              "out_hidden_size": 1024, "fullatt_block_indexes": [2, 5]}  # fmt: skip
    config = hf.Qwen2_5_VLConfig(
        text_config=text | _SHAPE,
        vision_config=vision,
        image_token_id=token("<image>"),
        video_token_id=token("<video>"),
        vision_start_token_id=token("<vision_start>"),
        vision_end_token_id=token("<vision_end>"),
    )
    torch.manual_seed(0)
    model = hf.Qwen2_5_VLForConditionalGeneration._from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)


def ours(model: VlmRelevance, image: Image.Image) -> Callable[[], object]:
    """Three layers' maps."""
    seen = model.prepare(image)
    return lambda: model.relevance([seen], ["What is it?"], _LAYERS)


def plain(model: VlmRelevance, image: Image.Image) -> Callable[[], object]:
    """transformers alone."""
    return _generate(model, image, "sdpa")


def attentions(model: VlmRelevance, image: Image.Image) -> Callable[[], object]:
    """transformers, which hands out every layer's whole attention matrices."""
    return _generate(model, image, "eager", output_attentions=True, return_dict_in_generate=True)


WAYS = {"ours": ours, "plain": plain, "attentions": attentions}


def _generate(
    model: VlmRelevance, image: Image.Image, attention: str, **options: Any
) -> Callable[[], object]:
    model.model.set_attn_implementation({"text_config": attention})
    processor = VlmCheckpoint(str(model.model.config._name_or_path)).create_processor()
    parts = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": parts}], add_generation_prompt=True
    )
    inputs = processor(text=prompt, images=[image], return_tensors="pt").to(model.model.device)

    def work() -> object:
        with torch.inference_mode():
            return model.model.generate(**inputs, **options)

    return work


def _size_of(tokens: int) -> tuple[int, int]:
    """Width and height, 8:5, of a picture of so many tokens or nearly so."""
    rows = round((tokens * 5 / 8) ** 0.5)
    return tokens // rows * _CELL, rows * _CELL


def _in_a_process(way: str, folder: Path, number: int) -> float:
    command = [sys.executable, "-m", __name__, way, str(folder), str(number)]
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(process.stdout)


if __name__ == "__main__":
    [way, place, number] = sys.argv[1:]
    checkpoint = VlmCheckpoint(f"{place}/model")
    loaded = VlmRelevance(checkpoint, max_new_tokens=_NEW_TOKENS)
    for weight in loaded.model.parameters():  # pages of a file come and go as the system likes
        weight.data = weight.data.clone()
    WAYS[way](loaded, Image.new("RGB", (2 * _CELL, 2 * _CELL)))()  # what any first pass sets up
    with Image.open(f"{place}/{number}.png") as stored:
        work = WAYS[way](loaded, stored.convert("RGB"))
    print(megabytes_beyond(work))
