"""Every kind of image tower: maps against a literal evaluation, in batches, and shared."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import timm
import torch

from api_cli.errors import ModelError
from api_cli.masking import MaskSettings, clip_mask
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.clip.towers.table import TIMM_POOL, TRUNKS
from api_cli.runs.pictures import decode
from tests import reference
from tests.api_cli.relevance import tiny_towers
from tests.api_cli.relevance.literal_towers import literal_maps, spread
from tests.conftest import read_json_lines

pytestmark = pytest.mark.model

QUESTIONS = ("a cat", "the red car on the left", "how many?")
PICTURES = ("square", "wide", "tall")
LAYERS = list(range(tiny_towers.LAYERS))


@pytest.fixture(scope="module", params=tiny_towers.ALL)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def known():
    with pytest.MonkeyPatch.context() as patch:
        tiny_towers.register(patch)
        yield


@pytest.fixture(scope="module")
def clip(name, known, tmp_path_factory) -> ClipRelevance:
    folder = tiny_towers.write(tmp_path_factory.mktemp("tower") / name, name)
    return ClipRelevance(ClipCheckpoint(str(folder)))


@pytest.fixture(scope="module")
def images(clip, photographs):
    return [clip.prepare(decode(photographs[name].read_bytes())) for name in PICTURES]


@pytest.fixture(scope="module")
def literal(name, clip, images):
    """By picture and layer: both maps, (h, w) float64."""
    text = [one.embedding.double() for one in clip._encode_questions(list(QUESTIONS))]
    model = clip.model.double()
    with torch.no_grad():
        found = [
            [literal_maps(model, name, image.pixels[None].double(), one, layer) for layer in LAYERS]
            for image, one in zip(images, text, strict=True)
        ]
    model.float()
    return np.array([[[m.view(6, 6).numpy() for m in maps] for maps in row] for row in found])


def test_maps_are_those_of_the_equations(clip, images, literal):
    for found, expected in zip(clip.relevance(images, QUESTIONS, LAYERS), literal, strict=True):
        for ours, theirs in zip(
            found.maps.reshape(-1, 6, 6), expected.reshape(-1, 6, 6), strict=True
        ):
            np.testing.assert_allclose(spread(ours), spread(theirs), atol=1e-4)


def test_pictures_are_within_one_grey_level(clip, images, literal, photographs):
    found = clip.relevance(images, QUESTIONS, LAYERS)
    for name, one, expected in zip(PICTURES, found, literal, strict=True):
        image = reference.as_seen(photographs[name])
        ours, theirs = (
            reference.masked_image(image, mask, "LANCZOS", 0, (0, 0, 6, 6))
            for mask in (
                clip_mask(one.maps[-1], MaskSettings(5, 3)).values,
                reference.clip_mask(expected[-1][0], expected[-1][1], 5, 3),
            )
        )
        near = np.abs(np.asarray(ours, float) - np.asarray(theirs, float)) <= 1
        assert near.mean() >= 0.999


def test_a_batch_and_shared_pictures_give_the_maps_of_each_alone(clip, images):
    wide = [images[0], images[1], images[0], images[2], images[0]]
    questions = [QUESTIONS[i % 3] for i in range(5)]
    together = clip.relevance(wide, questions, LAYERS)
    for image, question, one in zip(wide, questions, together, strict=True):
        copy = image._replace(pixels=image.pixels.clone())
        [alone] = clip.relevance([copy], [question], LAYERS)
        scale = np.abs(alone.maps).max(axis=(-2, -1), keepdims=True)
        np.testing.assert_allclose(one.maps / scale, alone.maps / scale, atol=2e-5)
        assert one.facts == alone.facts


def test_the_last_layer_is_read_where_no_cls_row_is_inside(name, clip, images):
    checkpoint = clip._kind
    assert checkpoint.default_layer == (-1 if name in tiny_towers.ATTENTION_POOLS else -2)
    [found] = clip.relevance(images[:1], ["a cat"], [2])
    kinds = {
        "clipa": "average pool",
        **dict.fromkeys(tiny_towers.ATTENTION_POOLS, "attention pool"),
    }
    assert found.facts == ({"map_kind": kinds[name]} if name in kinds else {})


def test_an_attention_pools_sum_and_embedding_are_rebuilt_from_its_tokens(name, clip, images):
    if name not in tiny_towers.ATTENTION_POOLS:
        return
    tower, visual = clip._tower, clip.model.visual
    pool, seen = tower.pool, []
    handle = tower.blocks[-1].register_forward_hook(lambda m, i, output: seen.append(output))
    with torch.no_grad():
        embedding = visual(images[0].pixels[None])
        embedding = embedding[0] if isinstance(embedding, tuple) else embedding
        handle.remove()
        z = pool.norm(seen[0])
        a = pool.attention(z)  # (1, H, T)
        values = torch.einsum("ptc,hdc->pthd", z, pool.W_v) + pool.b_v
        parts = (a.mT[..., None] * values).flatten(-2) @ pool.W.T  # (1, T, D)
        p = parts.sum(dim=1) + pool.b
        torch.testing.assert_close(p, pool.project(torch.einsum("pht,ptc->phc", a, z)))
        is_coca = name.startswith("coca")
        rebuilt = visual.ln_post(p) @ visual.proj if is_coca else pool.head(p)
        torch.testing.assert_close(rebuilt, embedding, rtol=1e-4, atol=1e-5)
    text = torch.nn.functional.normalize(torch.randn(1, embedding.shape[-1]), dim=-1)
    w = pool.gradient(p, text)
    added = ((parts.sum(dim=1)) * w).sum()  # what all tokens add, along the text
    patches = 36
    cls = (parts[:, :-patches].sum(dim=1) * w).sum()
    with torch.inference_mode():
        maps = tower.maps(2, seen[0], seen[0], text)
    torch.testing.assert_close(maps.cls_map.sum() + cls, added, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("trunk", sorted(TRUNKS))
def test_the_table_knows_timms_towers(trunk):
    known = TRUNKS[trunk]
    pool = "map" if known.kind is TIMM_POOL else "token"
    with torch.device("meta"):
        model: Any = timm.create_model(trunk, pretrained=False, num_classes=8, global_pool=pool)
    side = known.image_size // known.patch_size
    assert (len(model.blocks), model.patch_embed.grid_size) == (known.layers, (side, side))
    assert isinstance(model.norm, torch.nn.LayerNorm)
    assert (model.attn_pool is not None) == (pool == "map")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"timm_model_name": "hf-hub:somebody/tower"}, "timm's hf-hub:somebody/tower, which no"),
        ({"timm_model_name": ["vit_base_mci_224"]}, "which no reader knows"),
        ({"timm_model_name": "resnet50"}, "which no reader knows"),
        ({"timm_pool": "avg"}, "is read with the pool 'token'"),
        ({"timm_proj": "mlp"}, "no projection of open_clip's"),
        ({"image_size": 64}, "takes pictures of 48 pixels a side, not 64 x 64"),
    ],
)
def test_a_tower_that_is_not_in_the_table_is_refused(changed, says, known, tmp_path):
    folder = tiny_towers.write(tmp_path / "model", "tiny_eva01")
    path = folder / "open_clip_config.json"
    whole = json.loads(path.read_text())
    whole["model_cfg"]["vision_cfg"] |= changed
    path.write_text(json.dumps(whole))
    with pytest.raises(ModelError) as error:
        ClipCheckpoint(str(folder))
    assert says in str(error.value)
    assert "SigLIP 2 and PE-Core" in str(error.value)


def test_a_folder_fetches_no_weights_for_its_trunk(known, tmp_path, monkeypatch):
    folder = tiny_towers.write(tmp_path / "model", "tiny_siglip")
    path = folder / "open_clip_config.json"
    whole = json.loads(path.read_text())
    whole["model_cfg"]["vision_cfg"] |= {"timm_model_pretrained": True, "timm_drop_path": 0.5}
    path.write_text(json.dumps(whole))
    asked = []
    create = timm.create_model

    def noting(*names, **given):
        asked.append(given)
        return create(*names, **given)

    monkeypatch.setattr(timm, "create_model", noting)
    ClipRelevance(ClipCheckpoint(str(folder)))
    assert [given["pretrained"] for given in asked] == [False]
    assert "drop_path_rate" not in asked[0]


@pytest.mark.parametrize(
    ("name", "layer", "says"),
    [
        ("coca", 2, "its tower pools by attention and has no CLS row inside"),
        ("clipa", 1, "its tower averages the patches"),
        ("cls", 1, None),
    ],
)
def test_a_run_says_where_the_map_is_not_the_published_one(
    name, layer, says, make_dataset, apiprompt, tmp_path
):
    folder = tiny_towers.write(tmp_path / name, name)
    result = apiprompt(
        "clip", "--dataset", "imagefolder", "--data-root", make_dataset(), "--model-name", folder,
        "--output-folder", tmp_path / "out",
    )  # fmt: skip
    said = " ".join(result.stderr.split())
    assert ("our analogue of the published method" in said) is (says is not None)
    assert says is None or says in said
    [manifest] = (tmp_path / "out" / f"APICLIP_imagefolder_{name}_{layer}").glob("*/metadata.jsonl")
    kinds = {"coca": "attention pool", "clipa": "average pool"}
    assert [row.get("map_kind") for row in read_json_lines(manifest)] == [kinds.get(name)] * 3
