"""The program's pictures against a literal evaluation of METHOD.md."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import reference
from tests.conftest import read_json_lines

LAYERS = (0, 2, 4)
CONTRASTS = (1, 10)
KERNELS = (3, 7)
FILTERS = ("LANCZOS", "BICUBIC")
LEVELS = (0, 200)


@pytest.mark.parametrize(
    ("model_name", "fit", "batch_size"),
    [
        ("ViT-B-32", "paper", 1),
        ("ViT-B-32", "pad", 8),
        ("ViT-B-16", "squash", 3),
        ("ViT-L-14-336", "paper", 8),
        ("ViT-L-14-336", "pad", 3),
    ],
)
def test_pictures_are_those_of_the_equations(
    model_name, fit, batch_size, clip_folder, make_dataset, photographs, apiprompt, tmp_path
):
    folder = clip_folder(model_name)
    data_root = make_dataset(photographs)
    filters = (*FILTERS, "NEAREST") if model_name == "ViT-B-32" else FILTERS
    flags = {
        "--layer-index": LAYERS,
        "--enhance-coe": CONTRASTS,
        "--kernel-size": KERNELS,
        "--interpolate-method-name": filters,
        "--grayscale": LEVELS,
    }
    apiprompt(
        "clip", "--dataset", "imagefolder", "--data-root", data_root, "--model-name", folder,
        "--fit", fit, "--batch-size", batch_size, "--format", "png", "--output-folder", tmp_path,
        *(word for flag, values in flags.items() for word in (flag, ",".join(map(str, values)))),
    )  # fmt: skip

    clip = reference.ReferenceClip(folder)
    for row in read_json_lines(data_root / "metadata.jsonl"):
        image = reference.as_seen(data_root / row["file_name"])
        pixels = clip.pixels(image, fit)
        rows, columns, box = reference.part_shown(image.size, clip.grid, fit)
        for layer, maps in clip.maps(pixels, row["question"], LAYERS).items():
            cls_map, patch_map = (m[rows, columns] for m in maps)
            for coe, k in product(CONTRASTS, KERNELS):
                mask = reference.clip_mask(cls_map, patch_map, coe, k)
                for name, level in product(filters, LEVELS):
                    expected = reference.masked_image(image, mask, name, level, box)
                    path = (
                        tmp_path / f"APICLIP_imagefolder_{model_name}_{layer}"
                        / f"{coe}_{k}_{name}_{level}" / f"{row['key']}.png"
                    )  # fmt: skip
                    assert_within_one_grey_level(path, expected)


def assert_within_one_grey_level(path: Path, expected: np.ndarray) -> None:
    actual = np.asarray(Image.open(path), dtype=np.float64)
    assert actual.shape == expected.shape
    near = np.abs(actual - expected) <= 1
    assert near.mean() >= 0.999, f"{path}: {near.mean():.5f} within one grey level"


def test_the_literal_blocks_are_open_clips_own(clip_folder, photographs):
    """Guards the reference itself: its full forward pass gives open_clip's image embedding."""
    clip = reference.ReferenceClip(clip_folder("ViT-B-32"))
    visual = clip.model.visual
    pixels = clip.pixels(reference.as_seen(photographs["square"]), "paper")
    seen = []
    handle = visual.transformer.register_forward_hook(lambda m, i, output: seen.append(output))
    embedding = clip.image_embedding(pixels)
    handle.remove()
    ours = reference.layer_norm(visual.ln_post, seen[0][0, 0]) @ visual.proj
    torch.testing.assert_close(ours, embedding[0])

    cls_map, patch_map = clip.maps(pixels, "a cat", [4])[4]
    text = clip.model.encode_text(clip.tokenizer(["a cat"]))[0]
    similarities = reference.layer_norm(visual.ln_post, seen[0][0, 1:]) @ visual.proj @ text
    # the CLS token's mean and deviation scale every patch alike, so the order is what counts
    assert np.corrcoef(patch_map.ravel(), similarities.detach().numpy())[0, 1] > 0.9
    assert cls_map.shape == (7, 7)
