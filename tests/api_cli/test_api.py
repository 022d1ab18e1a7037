"""`from api_cli import clip_api`: the published package's signature."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from api_cli import clip_api, llava_api
from api_cli.errors import UsageError
from experiments.bench.shared_pictures import counting_pictures
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


@pytest.mark.parametrize("masking", [clip_api, llava_api])
@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_picture_that_is_given_again_is_seen_once(masking, batch_size, photographs):
    more = {"max_new_tokens": 1} if masking is llava_api else {}

    def mask(images, queries):
        return masking(images, queries, "demo", batch_size, -1, **more)

    with Image.open(photographs["wide"]) as picture:
        path = photographs["square"]
        images = [picture, path, photographs["tall"], picture, str(path)]
        queries = [f"what is {number}?" for number in range(len(images))]
        with counting_pictures() as seen:
            masked = mask(images, queries)
        assert sum(seen) == 3
        for image, query, ours in zip(images, queries, masked, strict=True):
            [theirs] = mask([image], [query])
            assert ours.size == theirs.size
            assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).max() <= 1


def test_pictures_that_are_made_when_asked_for_are_not_kept():
    class Lazy(Sequence):
        def __len__(self):
            return 4

        def __getitem__(self, place):
            picture = Image.new("RGB", (40, 30))
            alive[place] = picture
            most.append(len(alive))
            return picture

    alive: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
    most: list[int] = []
    masked = clip_api(Lazy(), ["what?"] * 4, "demo", 1, -1)
    assert len({image.tobytes() for image in masked}) == 1
    assert max(most) < 4


def test_wrong_arguments_are_named():
    picture = Image.new("RGB", (20, 20))
    with pytest.raises(UsageError, match="1 images but 2 queries"):
        clip_api([picture], ["a", "b"], "demo")
    with pytest.raises(UsageError, match="the model has layers 0 to 4"):
        clip_api([picture], ["a"], "demo")
    with pytest.raises(UsageError, match="--kernel-size: expected an odd"):
        clip_api([picture], ["a"], "demo", kernel_size=2, layer_index=0)
