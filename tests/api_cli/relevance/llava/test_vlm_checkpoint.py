"""Which models are taken, and what is said of the others."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from transformers import CONFIG_MAPPING

from api_cli.cli import app
from api_cli.commands.llava import llava
from api_cli.console import Console
from api_cli.errors import ModelError, UsageError
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.relevance.auxiliaries import auxiliary_of
from api_cli.relevance.layers import resolve_layers
from api_cli.relevance.llava import families
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.relevance.llava.views import View
from api_cli.relevance.llava.vlm import VlmRelevance
from api_cli.relevance.llava.vlm_checkpoint import VlmCheckpoint, find_checkpoint
from tests.conftest import read_json_lines

pytestmark = [
    pytest.mark.model,
    # the processors' own, with an older numpy or transformers
    pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning"),
]


@pytest.fixture
def copy(vlm_folder, tmp_path):
    """A copy of a family's folder, to be changed."""

    def make(setup, **changes):
        folder = Path(shutil.copytree(vlm_folder(setup), tmp_path / setup))
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return folder

    return make


def find(**given):
    config = LlavaConfig.resolve(given, {})
    return auxiliary_of(config, Console(quiet=True), Launch()).find()


def test_a_llava_stays_one_and_a_pixtral_is_none(llava_folder, vlm_folder):
    assert isinstance(find_checkpoint("demo"), LlavaCheckpoint)
    assert isinstance(find_checkpoint(str(llava_folder("grouped"))), LlavaCheckpoint)
    pixtral = find_checkpoint(str(vlm_folder("pixtral")))
    assert isinstance(pixtral, VlmCheckpoint)
    assert pixtral.kind_of_model == "pixtral"


def test_the_default_layer_is_the_nearest_to_five_eighths_that_can_be_read(vlm_folder, copy):
    assert VlmCheckpoint(str(vlm_folder("qwen2_vl"))).default_layer == 2
    gemma = VlmCheckpoint(str(vlm_folder("gemma3")))
    assert (gemma.readable_layers, gemma.default_layer) == ([1, 3], 1)
    assert VlmCheckpoint(str(copy("gemma3", relevance_layer=3))).default_layer == 3


@pytest.mark.parametrize(("setup", "layer"), [("gemma3", 0), ("qwen3_5", -2), ("paligemma2", 2)])
def test_a_layer_that_cannot_be_read_is_refused_with_those_that_can(setup, layer, vlm_folder):
    with pytest.raises(UsageError, match=r"can be read are 1, 3$"):
        resolve_layers([layer], VlmCheckpoint(str(vlm_folder(setup))))
    with pytest.raises(UsageError, match=r"can be read are 1, 3$"):
        find(model_name=str(vlm_folder(setup)), layer_index=layer)


def test_another_fit_and_pixels_for_one_size_are_refused(vlm_folder):
    with pytest.raises(UsageError, match="sees the whole picture"):
        find(model_name=str(vlm_folder("qwen2_vl")), fit="pad")
    with pytest.raises(UsageError, match=r"LLaVA-1\.5 sees every picture in one size"):
        find(model_name="demo", max_pixels=1000)
    with pytest.raises(UsageError, match="it is for qwen2_vl"):
        VlmRelevance(VlmCheckpoint(str(vlm_folder("internvl"))), max_pixels=1000)


def test_pixels_and_prompts_are_part_of_the_maps_identity(vlm_folder):
    def asked(**given):
        return auxiliary_of(LlavaConfig.resolve(given, {}), Console(quiet=True), Launch()).asked

    name = str(vlm_folder("qwen2_vl"))
    assert "max_pixels" not in asked(model_name=name)
    assert asked(model_name=name, max_pixels=4096)["max_pixels"] == 4096


@pytest.mark.parametrize("model_type", ["bert", "clip", None, "no_such_model"])
def test_what_is_no_such_model_is_refused_with_the_list(model_type, copy):
    folder = copy("qwen2_vl", model_type=model_type)
    with pytest.raises(ModelError, match=r"can be read are llava, qwen2_vl, .*molmo2"):
        find_checkpoint(str(folder))


def test_a_family_that_this_transformers_lacks_is_refused_by_its_version(copy, monkeypatch):
    known = dict(CONFIG_MAPPING.items())
    known.pop("molmo2", None)
    monkeypatch.setattr("api_cli.relevance.llava.vlm_checkpoint.CONFIG_MAPPING", known)
    with pytest.raises(ModelError, match=r"molmo2 needs transformers 5\.20 or later"):
        find_checkpoint(str(copy("qwen2_vl", model_type="molmo2")))


def test_a_regular_family_that_is_not_in_the_table_works(vlm_folder, monkeypatch):
    without = {name: row for name, row in families.FAMILIES.items() if name != "glm4v"}
    for module in ("families", "blocks", "vlm_checkpoint"):
        monkeypatch.setattr(f"api_cli.relevance.llava.{module}.FAMILIES", without)
    checkpoint = find_checkpoint(str(vlm_folder("glm4v")))
    assert isinstance(checkpoint, VlmCheckpoint)
    assert not checkpoint.is_shareable
    assert VlmRelevance(checkpoint).number_of_layers == 4


@pytest.mark.parametrize("setup", ["internvl", "idefics3", "llava_next"])
def test_an_irregular_family_that_is_not_in_the_table_is_refused(setup, vlm_folder, monkeypatch):
    without = {name: row for name, row in families.FAMILIES.items() if name != setup}
    for module in ("families", "blocks", "vlm_checkpoint"):
        monkeypatch.setattr(f"api_cli.relevance.llava.{module}.FAMILIES", without)
    with pytest.raises(ModelError, match="not laid out by the known rule"):
        VlmRelevance(VlmCheckpoint(str(vlm_folder(setup))))


def test_a_rule_that_does_not_hold_is_found_out_before_weights_are_loaded(vlm_folder, monkeypatch):
    def wrong(seen):
        return [View(np.arange(seen.tokens - 1)[None], (0, 0, 1, 1))]

    monkeypatch.setitem(families.FAMILIES, "internvl", families.Family(wrong))
    checkpoint = VlmCheckpoint(str(vlm_folder("internvl")))
    monkeypatch.setattr(checkpoint, "create_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(ModelError, match="image tokens, of which the rule places"):
        VlmRelevance(checkpoint)


def test_a_folders_files_run_no_code(copy, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    evil = {"AutoConfig": "evil.E", "AutoProcessor": "evil.E", "AutoTokenizer": ["evil.E", None],
            "AutoModelForImageTextToText": "evil.E", "AutoImageProcessor": "evil.E"}  # fmt: skip
    monkeypatch.setattr("sys.stdin", None)
    folder = copy(
        "qwen2_vl", auto_map=evil, attn_implementation="me/kernel", _attn_implementation="me/k"
    )
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass E: pass\n")
    model = VlmRelevance(VlmCheckpoint(str(folder)))
    assert not ran.exists()
    assert model.model.config.text_config._attn_implementation == "apiprompt_sdpa"

    class Planted:
        def __reduce__(self):
            return (open, (str(ran), "w"))

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(ModelError, match="safetensors"):
        VlmRelevance(VlmCheckpoint(str(folder)))
    assert not ran.exists()


def test_the_command_says_the_grid_of_every_sample(vlm_folder, apiprompt, make_dataset, tmp_path):
    name = vlm_folder("qwen2_5_vl")
    flags = ["--dataset", "imagefolder", "--data-root", make_dataset(), "--model-name", name]
    apiprompt("vlm", *flags, "--batch-size", "2", "--save-maps")
    [run] = tmp_path.glob("experiments/APILLaVA_imagefolder_qwen2_5_vl_2/*")
    rows = {row["key"]: row for row in read_json_lines(run / "metadata.jsonl")}
    grids = {key: row["relevance_grid"] for key, row in rows.items()}
    assert len(set(grids.values())) == 3
    for key, grid in grids.items():
        [kept] = run.rglob(f"*{key}*.npy")
        assert " x ".join(map(str, np.load(kept).shape[-2:])) == grid
    again = apiprompt("llava", *flags, "--grayscale", "128", "--save-maps")
    assert "loading" not in again.stderr  # the maps are kept


def test_a_layer_that_cannot_be_read_opens_no_folder_in_a_second_run(
    vlm_folder, apiprompt, make_dataset, tmp_path
):
    flags = ["--dataset", "imagefolder", "--data-root", make_dataset(), "--max-new-tokens", "1"]
    flags += ["--model-name", vlm_folder("gemma3")]
    apiprompt("vlm", *flags)
    folders = set((tmp_path / "experiments").rglob("*"))
    refused = apiprompt("vlm", *flags, "--layer-index", "2", status=2)
    assert "those that can be read are 1, 3" in refused.stderr
    assert set((tmp_path / "experiments").rglob("*")) == folders


def test_vlm_is_llava_by_another_name():
    [vlm] = [command for command in app.registered_commands if command.name == "vlm"]
    assert vlm.callback is llava


def test_a_model_that_names_no_end_answers_to_the_last_token(copy):
    folder = copy("qwen2_vl")
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text())
        for part in (content, content.get("text_config", {})):
            if "eos_token_id" in part:
                part["eos_token_id"] = None
        (folder / name).write_text(json.dumps(content))
    model = VlmRelevance(VlmCheckpoint(str(folder)), max_new_tokens=3)
    image = model.prepare(Image.new("RGB", (64, 64)))
    [found] = model.relevance([image], ["what?"], [1])
    assert found.facts["auxiliary_tokens"] == 3
