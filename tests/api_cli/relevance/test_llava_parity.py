"""LLaVA's pictures and answers against a literal evaluation of METHOD.md."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlavaForConditionalGeneration

from api_cli.options.prompt import PROMPT_TEMPLATE
from tests import reference
from tests.api_cli.relevance.test_clip_parity import assert_within_one_grey_level
from tests.conftest import read_json_lines

SHAPES = ("square", "wide", "tall", "grey", "palette", "rgba", "rotated")
SETTINGS = ((1, 3), (5, 3), (10, 7))  # contrast and kernel size


@pytest.mark.parametrize(
    ("model_name", "fit", "batch_size", "max_new_tokens"),
    [
        ("six-by-six", "paper", 1, 20),
        ("six-by-six", "pad", 3, 20),
        ("six-by-six", "squash", 8, 1),
        ("grouped", "paper", 8, 20),
        ("grouped", "pad", 3, 1),
        ("grouped", "squash", 1, 20),
    ],
)
def test_pictures_and_answers_are_those_of_the_equations(
    model_name,
    fit,
    batch_size,
    max_new_tokens,
    llava_folder,
    make_dataset,
    photographs,
    apiprompt,
    tmp_path,
):
    folder = llava_folder(model_name)
    llava = reference.ReferenceLlava(folder)
    layers = range(len(llava.model.model.language_model.layers))
    data_root = make_dataset(SHAPES)
    apiprompt(
        "llava", "--dataset", "imagefolder", "--data-root", data_root, "--model-name", folder,
        "--fit", fit, "--batch-size", batch_size, "--max-new-tokens", max_new_tokens,
        "--layer-index", ",".join(map(str, layers)), "--enhance-coe", "1,5,10",
        "--kernel-size", "3,7", "--grayscale", "200", "--format", "png",
        "--output-folder", tmp_path,
    )  # fmt: skip

    lengths = set()
    for row in read_json_lines(data_root / "metadata.jsonl"):
        image = reference.as_seen(data_root / row["file_name"])
        prompt = PROMPT_TEMPLATE.replace("{question}", row["question"])
        tokens, maps = llava.answer(llava.pixels(image, fit), prompt, max_new_tokens)
        lengths.add(len(tokens))
        rows, columns, box = reference.part_shown(image.size, llava.grid, fit)
        for layer in layers:
            a = np.mean([of_pass[layer] for of_pass in maps], axis=0)[rows, columns]
            run = tmp_path / f"APILLaVA_imagefolder_{model_name}_{layer}"
            for coe, k in SETTINGS:
                mask = reference.llava_mask(a, coe, k)
                expected = reference.masked_image(image, mask, "LANCZOS", 200, box)
                path = run / f"{coe}_{k}_LANCZOS_200" / f"{row['key']}.png"
                assert_within_one_grey_level(path, expected)
            manifest = read_json_lines(run / "5_3_LANCZOS_200" / "metadata.jsonl")
            [written] = [line for line in manifest if line["key"] == row["key"]]
            assert written["auxiliary_tokens"] == len(tokens)
            answer = str(llava.tokenizer.decode(tokens, skip_special_tokens=True))
            assert written["auxiliary_answer"] == answer.strip()
    assert max(lengths) <= max_new_tokens
    if max_new_tokens > 1:
        assert len(lengths) > 1, "some answers should stop early"


@pytest.mark.parametrize("model_name", ["six-by-six", "grouped"])
@torch.no_grad()  # transformers takes norms and softmax in float32, which sets the tolerance
def test_the_literal_passes_are_those_of_transformers(model_name, llava_folder, photographs):
    """Guards the reference itself: logits, and attention renormalised over the image tokens."""
    folder = llava_folder(model_name)
    llava = reference.ReferenceLlava(folder)
    pixels = llava.pixels(reference.as_seen(photographs["wide"]), "paper")
    prompt = PROMPT_TEMPLATE.replace("<image>", "<image>" * llava.grid**2)
    ids = torch.tensor(llava.tokenizer(prompt)["input_ids"])
    logits, maps = llava.forward(pixels, ids)
    model = LlavaForConditionalGeneration.from_pretrained(folder, attn_implementation="eager")
    output = model.double()(input_ids=ids[None], pixel_values=pixels, output_attentions=True)
    torch.testing.assert_close(output.logits[0, -1], logits, rtol=1e-4, atol=1e-4)
    is_image = ids == llava.config.image_token_id
    for attention, ours in zip(output.attentions, maps, strict=True):
        looks = attention[0, :, -1, is_image]
        looks = looks / looks.sum(dim=-1, keepdim=True)
        np.testing.assert_allclose(looks.mean(dim=0), ours.ravel(), rtol=1e-4)
