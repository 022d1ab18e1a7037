"""What the page in the browser makes: the same pictures as the commands that it shows."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from api_cli.cli import app
from api_cli.errors import ApipromptError, UsageError
from api_cli.pages.web.answering import answer
from api_cli.pages.web.choice import METHODS, command, configuration, spelt, value_of
from api_cli.pages.web.studio import Look, Studio, asked_alike, draw
from api_cli.runs.pictures import encode

QUESTION = "What's left of the cat?"
SLIDERS: dict[str, Any] = {
    "render": "fade", "fit": "squash", "layer_index": 2, "enhance_coe": 5, "kernel_size": 3,
    "grayscale": 0, "floor": 0, "share": 1, "regions": 0, "gaussian": 0, "contrasted": True,
    "interpolate_method_name": "LANCZOS", "relative": "none", "denoise": 0, "softmax": "image",
    "token_weights": "even", "highlight": "",
}  # fmt: skip
MOVED: dict[str, Any] = {
    "render": "blur", "layer_index": 1, "enhance_coe": 1.5, "kernel_size": 5, "grayscale": 200,
    "floor": 0.5, "share": 0.3, "gaussian": 0.5, "contrasted": False,
    "interpolate_method_name": "NEAREST",
}  # fmt: skip
OF_ATTENTION = {"relative": "ratio", "denoise": 2, "softmax": "all", "token_weights": "linear"}


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(10**6)


@pytest.fixture(scope="module")
def looks(studio: Studio, photographs: dict[str, Path]) -> dict[str, Look]:
    """What each method's demo model found out about a photograph."""
    picture = studio.open(photographs["wide"])
    return {m: studio.look(picture, QUESTION, choice(m)) for m in METHODS}


def choice(method: str, **moved: Any) -> Any:
    chosen = {**SLIDERS, **moved}
    return configuration(method, {**chosen, "model_name": "demo", **spelt(method, chosen)}, "cpu")


@pytest.mark.model
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "moved", [{}, {"render": "pair", "share": 0.4, "regions": 2, **OF_ATTENTION}]
)
def test_the_command_makes_the_same_picture(
    method, moved, looks, photographs, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("wide.jpg").write_bytes(photographs["wide"].read_bytes())
    config = choice(method, **moved)
    images, _ = draw(looks[method], config)
    words = shlex.split(command(method, config, "uploads/wide.jpg", QUESTION))
    assert words[0] == "apiprompt"
    result = CliRunner().invoke(app, words[1:])
    assert result.exit_code == 0, result.output
    assert Path("wide.masked.jpg").read_bytes() == encode(images["file_name"], "jpg", 95)
    if "crop_file_name" in images:
        assert Path("wide.masked.crop.jpg").read_bytes() == encode(
            images["crop_file_name"], "jpg", 95
        )


@pytest.mark.model
@pytest.mark.parametrize("method", METHODS)
def test_each_slider_changes_the_picture(method, looks):
    plain = draw(looks[method], choice(method))[0]["file_name"]
    moves = MOVED | (OF_ATTENTION if method == "llava" else {})
    for name, value in moves.items():
        moved = draw(looks[method], choice(method, **{name: value}))[0]["file_name"]
        assert moved.tobytes() != plain.tobytes(), name


@pytest.mark.model
def test_all_layers_are_read_at_once(looks):
    drawn = {
        draw(looks["clip"], choice("clip", layer_index=layer))[0]["file_name"].tobytes()
        for layer in range(looks["clip"].layers)
    }
    assert len(drawn) == looks["clip"].layers
    assert looks["llava"].answer


@pytest.mark.model
def test_a_highlight_asks_the_model_that_is_there(studio, looks):
    look = looks["llava"]
    first = look.answer.split()[0]
    config = choice("llava", highlight=first)
    again = studio.look(look.picture, QUESTION, config)
    assert again.checkpoint is look.checkpoint
    assert again.found.facts["highlighted"] is True
    assert "highlighted" not in studio.look(look.picture, QUESTION, choice("llava")).found.facts
    assert not asked_alike(config, look.config)


def test_a_preset_moves_the_sliders_to_where_it_makes_the_same_picture():
    for method, preset in (("llava", "vea"), ("llava", "carve"), ("clip", "mmvet")):
        config = METHODS[method].resolve({}, {}, preset)
        left_alone = ("highlight", "layer_index", "fit")
        moved = {name: value_of(name, config) for name in SLIDERS if name not in left_alone}
        again = choice(method, **moved)
        for name in ("enhance_coe", "smooth", "floor", "keep", "relative", "softmax", "denoise"):
            assert getattr(again, name) == getattr(config, name), (preset, name)


def test_what_is_no_picture_or_too_large_is_refused(tmp_path):
    studio = Studio(10**6)
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    with pytest.raises(OSError, match="no picture"):
        studio.open(tmp_path / "letter.jpg")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="pixels"):
        studio.open(tmp_path / "large.png")


def test_an_empty_question_is_refused(photographs):
    studio = Studio(10**6)
    with pytest.raises(UsageError, match="ask something"):
        studio.look(studio.open(photographs["wide"]), "  ", choice("clip"))


def test_a_server_that_is_gone_is_named():
    picture = encode(Image.new("RGB", (8, 8)), "jpg", 95)
    with pytest.raises(ApipromptError, match=r"127\.0\.0\.1:9"):
        answer("What is it?", {"a.jpg": picture}, "http://127.0.0.1:9/v1", "m", "NO_KEY")
