"""`--fit native`: pictures in their own proportions (METHOD.md section 7)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.layers.pos_embed_sincos import build_rotary_pos_embed

from api_cli.errors import UsageError
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from api_cli.relevance.clip.towers.positions import TrunkPositions
from api_cli.relevance.fit import grid_part, is_displaced, native_grid
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.runs.pictures import decode
from tests import reference
from tests.api_cli.relevance import tiny_towers
from tests.api_cli.relevance.literal_towers import literal_maps, spread
from tests.conftest import read_json_lines

QUESTIONS = ("a cat", "the red car on the left", "how many?")
PICTURES = ("square", "wide", "tall")


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_a_grid_has_the_pictures_proportions_and_about_as_many_patches(width, height, side):
    rows, columns = native_grid((width, height), (side, side))
    assert 1 <= rows <= side**2
    assert 1 <= columns <= side**2
    exact = side * math.sqrt(height / width), side * math.sqrt(width / height)
    if min(exact) >= 1:
        assert abs(rows - exact[0]) <= 0.5
        assert abs(columns - exact[1]) <= 0.5
    if width == height:
        assert (rows, columns) == (side, side)
    part = grid_part("native", (width, height), (side, side))
    assert part == ((0, rows), (0, columns), (0, 0, columns, rows))


def test_paper_displaces_from_a_quarter_on_and_no_other_fit_does():
    grid = (24, 24)
    assert not is_displaced("paper", (125, 100), grid)
    assert is_displaced("paper", (126, 100), grid)
    assert is_displaced("paper", (100, 126), grid)
    assert not is_displaced("paper", (900, 100), (0, 0)), "pictures have grids of their own"
    for fit in ("squash", "pad", "native"):
        assert not is_displaced(fit, (900, 100), grid)


def bicubic(own: int, new: int) -> np.ndarray:
    """(new, own): weights of a resize by bicubic convolution, wide enough where it shrinks."""
    scale = own / new
    width = max(1.0, scale)
    weights = np.zeros((new, own))
    for i in range(new):
        for j in range(own):
            x = abs((j + 0.5 - (i + 0.5) * scale) / width)
            if x < 1:
                weights[i, j] = 1.5 * x**3 - 2.5 * x**2 + 1
            elif x < 2:
                weights[i, j] = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return weights / weights.sum(axis=1, keepdims=True)


def test_maps_are_those_of_the_equations_with_positions_interpolated(clip_folder, photographs):
    folder = clip_folder("ViT-B-32")
    ours = ClipRelevance(ClipCheckpoint(str(folder)), fit="native")
    literal = reference.ReferenceClip(folder)
    trained = literal.model.visual.positional_embedding.detach().clone()
    squares = trained[1:].numpy().reshape(7, 7, -1)
    for name, question in zip(PICTURES, QUESTIONS, strict=True):
        image = reference.as_seen(photographs[name])
        rows, columns = (max(1, round(7 * math.sqrt(ratio))) for ratio in
                         (image.height / image.width, image.width / image.height))  # fmt: skip
        small = image.resize((32 * columns, 32 * rows), Image.Resampling.BICUBIC)
        levels = np.asarray(small, dtype=np.float64) / 255
        levels = (levels - np.array(reference.MEAN)) / np.array(reference.STD)
        pixels = torch.from_numpy(levels).permute(2, 0, 1)[None]
        moved = np.einsum("rR,cC,RCd->rcd", bicubic(7, rows), bicubic(7, columns), squares)
        places = torch.cat([trained[:1], torch.from_numpy(moved).flatten(0, 1)])
        literal.model.visual.positional_embedding = torch.nn.Parameter(places)
        [found] = ours.relevance([ours.prepare(image)], [question], [2, 4])
        for layer, maps in zip((2, 4), found.maps, strict=True):
            for one, expected in zip(maps, literal_of(literal, pixels, question, layer, rows),
                                     strict=True):  # fmt: skip
                assert one.shape == (rows, columns)
                np.testing.assert_allclose(spread(one), spread(expected), atol=2e-4)


def literal_of(clip, pixels, question, layer, rows) -> list[np.ndarray]:
    """The literal maps of a grid that is not square."""
    text = clip.model.encode_text(clip.tokenizer([question]))[0]
    found = literal_maps(clip.model, "cls", pixels, text / text.norm(), layer)
    return [m.detach().view(rows, -1).numpy() for m in found]


@pytest.fixture(scope="module")
def towers():
    with pytest.MonkeyPatch.context() as patch:
        tiny_towers.register(patch)
        yield


@pytest.mark.model
@pytest.mark.parametrize("name", tiny_towers.ALL)
def test_every_tower_looks_at_other_proportions(name, towers, tmp_path, photographs):
    checkpoint = ClipCheckpoint(str(tiny_towers.write(tmp_path / name, name)))
    clip, square = ClipRelevance(checkpoint, fit="native"), ClipRelevance(checkpoint, fit="squash")
    images = [decode(photographs[picture].read_bytes()) for picture in PICTURES]
    wide = [clip.prepare(image) for image in (images[1], images[0], images[1], images[2])]
    wide[2] = wide[0]  # the same picture, about which two questions are asked
    questions = [*QUESTIONS, "a cat"]
    together = clip.relevance(wide, questions, [1, 2])
    for image, question, one in zip(wide, questions, together, strict=True):
        copy = image._replace(pixels=image.pixels.clone())
        [alone] = clip.relevance([copy], [question], [1, 2])
        assert one.maps.shape[-2:] == alone.maps.shape[-2:] == grid_of(image)
        np.testing.assert_allclose(spread(one.maps), spread(alone.maps), atol=2e-5)

    [text] = clip._encode_questions(["a cat"])
    [found] = clip.relevance(wide[:1], ["a cat"], [2])  # leaves the tower at the wide grid
    model = clip.model.double()
    with torch.no_grad():
        expected = literal_maps(model, name, wide[0].pixels[None].double(),
                                text.embedding.double(), 2)  # fmt: skip
    model.float()
    for ours, theirs in zip(found.maps[0], expected, strict=True):
        literal = theirs.view(grid_of(wide[0])).numpy()
        np.testing.assert_allclose(spread(ours), spread(literal), atol=1e-4)

    # a square picture is what it is to a model that never looked at another
    [again] = clip.relevance([clip.prepare(images[0])], ["a cat"], [1, 2])
    [usual] = square.relevance([square.prepare(images[0])], ["a cat"], [1, 2])
    np.testing.assert_allclose(spread(again.maps), spread(usual.maps), atol=2e-5)


def grid_of(image) -> tuple[int, int]:
    return image.part.rows[1], image.part.columns[1]


@pytest.mark.model
@pytest.mark.parametrize("name", ["tiny_eva02", "tiny_siglip", "tiny_pe"])
def test_positions_of_timms_are_those_that_timm_makes(name, towers):
    [full] = [known for known in tiny_towers.TIMM if known.startswith(name)][:1]
    pool = "map" if full in tiny_towers.ATTENTION_POOLS else "token"
    trunk: Any = timm.create_model(full, num_classes=8, global_pool=pool)
    trained, positions = trunk.pos_embed, TrunkPositions(trunk)
    positions.resize((4, 9))
    first = trained.shape[1] - 36
    expected = resample_abs_pos_embed(trained, (4, 9), (6, 6), num_prefix_tokens=first)
    torch.testing.assert_close(trunk.pos_embed, expected)
    rope = getattr(trunk, "rope", None)
    if rope is not None:
        angles = build_rotary_pos_embed(
            [4, 9], bands=rope.bands, ref_feat_shape=rope.ref_feat_shape,
            in_pixels=rope.in_pixels, grid_offset=rope.grid_offset,
            grid_indexing=rope.grid_indexing,
        )  # fmt: skip
        torch.testing.assert_close(rope.get_embed(), torch.cat(angles, dim=-1))
    positions.resize((6, 6))
    assert trunk.pos_embed is trained


@pytest.mark.model
def test_rotary_positions_without_a_range_are_refused(towers, tmp_path, monkeypatch):
    [name] = [name for name in tiny_towers.TIMM if name.startswith("tiny_eva02")][:1]
    checkpoint = ClipCheckpoint(str(tiny_towers.write(tmp_path / name, name)))
    model = checkpoint.create_model()
    model.visual.trunk.rope.ref_feat_shape = None
    monkeypatch.setattr(checkpoint, "create_model", lambda: model)
    with pytest.raises(UsageError, match=r"--fit squash, pad and paper work with it$"):
        ClipRelevance(checkpoint, fit="native")


def test_a_llava_is_refused_with_the_reason(apiprompt):
    said = apiprompt("llava", "--fit", "native", "--range", "0", "1", status=2).stderr
    assert "--fit native: a LLaVA-1.5 was trained on squares" in said
    assert "--fit squash, pad and paper work with it" in said
    with pytest.raises(UsageError, match=r"a LLaVA-1.5 was trained on squares"):
        LlavaRelevance(LlavaCheckpoint("demo"), fit="native")


def test_a_run_keeps_maps_of_any_grid_and_says_where_paper_displaces(
    make_dataset, apiprompt, tmp_path
):
    root = make_dataset(("square", "wide", "tall", "rotated"))
    flags = ("clip", "--dataset", "imagefolder", "--data-root", root, "--model-name", "demo",
             "--output-folder", tmp_path / "out")  # fmt: skip
    first = apiprompt(*flags, "--fit", "native", "--save-maps")
    folder = tmp_path / "out" / "APICLIP_imagefolder_demo_3" / "5_3_LANCZOS_0"
    for row in read_json_lines(folder / "metadata.jsonl"):
        with Image.open(folder / row["file_name"]) as image:
            grid = native_grid(image.size, (12, 12))
        assert np.load(folder / f"{row['key']}.npy").shape == (2, *grid)
    again = apiprompt(*flags, "--fit", "native", "--grayscale", "9")
    assert "loading" in first.stderr
    assert "loading" not in again.stderr
    assert "--fit paper" not in first.stderr + again.stderr

    for said in (
        apiprompt(*flags, "--fit", "paper", "--grayscale", "10").stderr,
        apiprompt(*flags, "--fit", "paper", "--grayscale", "11").stderr,  # from kept maps
    ):
        assert said.count("lays their masks elsewhere") == 1
        assert "warning: 3 pictures have sides that differ by more than a quarter" in said
