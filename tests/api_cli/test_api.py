"""`from api_cli import clip_api`: the published package's signature."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from PIL import Image

from api_cli import clip_api
from api_cli.errors import UsageError
from tests.conftest import read_json_lines


def test_the_signature_is_the_published_one():
    parameters = inspect.signature(clip_api).parameters.values()
    positional = {p.name: p.default for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD}
    empty = inspect.Parameter.empty
    assert positional == {
        "images": empty, "queries": empty, "model_name": "ViT-L-14-336", "batch_size": 8,
        "layer_index": 22, "enhance_coe": 10, "kernel_size": 3,
        "interpolate_method_name": "LANCZOS", "grayscale": 0,
    }  # fmt: skip


def test_it_gives_the_pictures_the_command_writes(apiprompt, make_dataset, tmp_path):
    root = make_dataset(("square", "wide", "rotated"))
    flags = ("--layer-index", "-1", "--enhance-coe", "10", "--format", "png", "--fit", "pad")
    process = apiprompt(
        "clip", "--dataset", "imagefolder", "--data-root", root, "--model-name", "demo", *flags
    )
    rows = read_json_lines(root / "metadata.jsonl")
    images = [root / rows[0]["file_name"], str(root / rows[1]["file_name"])]
    with Image.open(root / rows[2]["file_name"]) as picture:
        masked = clip_api(
            [*images, picture], [row["question"] for row in rows], "demo", 2, -1, fit="pad"
        )
    for row, ours in zip(rows, masked, strict=True):
        path = tmp_path / process.stdout.strip() / f"{row['key']}.png"
        with Image.open(path) as theirs:
            assert ours.size == theirs.size
            assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).max() <= 1


def test_wrong_arguments_are_named():
    picture = Image.new("RGB", (20, 20))
    with pytest.raises(UsageError, match="1 images but 2 queries"):
        clip_api([picture], ["a", "b"], "demo")
    with pytest.raises(UsageError, match="the model has layers 0 to 4"):
        clip_api([picture], ["a"], "demo")
    with pytest.raises(UsageError, match="--kernel-size: expected an odd"):
        clip_api([picture], ["a"], "demo", kernel_size=2, layer_index=0)
