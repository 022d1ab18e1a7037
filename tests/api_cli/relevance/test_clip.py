"""CLIP's relevance maps beside parity: precision, early stop, hooks, long and odd questions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from api_cli.masking import MaskSettings, clip_mask
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.runs.pictures import decode
from tests import reference


@pytest.fixture(scope="module")
def demo() -> ClipRelevance:
    return ClipRelevance(ClipCheckpoint("demo"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_gives_nearly_the_same_mask(precision, demo, photographs):
    image = decode(photographs["wide"].read_bytes())
    low = ClipRelevance(ClipCheckpoint("demo"), precision=precision)
    masks = []
    for model in (demo, low):
        [(maps, facts)] = model.relevance([model.prepare(image)], ["where is the cat?"], [3])
        assert maps.dtype == np.float32
        assert facts == {}
        masks.append(clip_mask(maps[0], MaskSettings(5, 3)).values)
    assert np.abs(masks[0] - masks[1]).mean() < 0.02


def test_one_pass_stops_at_the_last_layer_and_leaves_no_hook(demo, photographs):
    image = demo.prepare(decode(photographs["square"].read_bytes()))
    blocks = demo.model.visual.transformer.resblocks
    ran = []
    handles = [
        block.register_forward_hook(lambda *_, i=i: ran.append(i)) for i, block in enumerate(blocks)
    ]
    [(together, _)] = demo.relevance([image], ["a cat"], [0, 2])
    assert ran == [0, 1, 2], "each block once, none after the last that is read"
    for handle in handles:
        handle.remove()
    assert not any(block._forward_hooks for block in blocks)
    assert torch.backends.mha.get_fastpath_enabled()
    for layer, maps in zip((0, 2), together, strict=True):
        [(alone, _)] = demo.relevance([image], ["a cat"], [layer])
        np.testing.assert_allclose(alone[0], maps, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "question",
    ["x" * 10_000, "many words " * 1000, "猫はどこですか", "\U0001f408?", "מה צבע החתול", "\ud800"],
)
def test_any_question_is_read(question, demo, photographs):
    image = demo.prepare(decode(photographs["grey"].read_bytes()))
    [(maps, _)] = demo.relevance([image], [question], [1])
    assert np.isfinite(maps).all()


def test_layer_scale_is_part_of_what_a_patch_adds(tmp_path, photographs):
    """Some open_clip ViTs scale each block's attention; their cls map counts it."""
    from tests.conftest import write_clip

    write_clip(tmp_path / "scaled", image_size=64, patch_size=16, ls_init_value=0.5)
    model = ClipRelevance(ClipCheckpoint(str(tmp_path / "scaled")))
    image = model.prepare(decode(photographs["square"].read_bytes()))
    block = model.model.visual.transformer.resblocks[1]
    before = model.relevance([image], ["a cat"], [1])[0].maps[0, 0]
    block.ls_1.gamma.data *= 2
    after = model.relevance([image], ["a cat"], [1])[0].maps[0, 0]
    np.testing.assert_allclose(after, 2 * before, rtol=1e-4)
    assert reference.smooth(before, 1).shape == (4, 4)
