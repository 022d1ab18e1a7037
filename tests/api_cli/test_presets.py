"""Configurations: for which subcommand, layers by model, and what `ask` reads of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from api_cli.cli import app
from api_cli.errors import UsageError
from api_cli.options.ask import AskConfig
from api_cli.options.clip import ClipConfig
from api_cli.options.config import Config
from api_cli.options.llava import LlavaConfig
from api_cli.options.option import read_yaml, shipped_configs
from api_cli.options.preset import ByModel, shipped_for
from api_cli.options.prompt import PROMPT_TEMPLATE, QUESTION
from api_cli.options.score import ScoreConfig
from api_cli.relevance import Read
from api_cli.relevance.llava import LlavaCheckpoint, LlavaRelevance

CONFIGS: dict[str, type[Config]] = {"clip": ClipConfig, "llava": LlavaConfig, "ask": AskConfig}
PRESET = """
command: llava
layer_index:
  llava-1.5-7b: 14+15
  qwen2.5-vl-7b: [18, 22]
  qwen2.5-vl: 3
max_new_tokens: 1
ask:
  prompt: hint
  max_tokens: 20
"""


@pytest.fixture
def preset(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(PRESET)
    return str(path)


@pytest.mark.parametrize("path", shipped_configs(), ids=lambda path: path.stem)
def test_every_shipped_configuration_is_read_by_its_subcommands_and_no_other(path, tmp_path):
    assert path.read_text().startswith("#"), "says where it is from"
    for name, config_class in CONFIGS.items():
        if path not in shipped_for(name):
            with pytest.raises(UsageError, match="it is for `apiprompt"):
                config_class.resolve({}, {}, path.stem)
            continue
        config = config_class.resolve({}, {}, path.stem)
        (tmp_path / "printed.yaml").write_text(config.to_yaml())
        assert config_class.resolve({}, {}, str(tmp_path / "printed.yaml")) == config
        layers = read_yaml(path).get("layer_index") if name == "llava" else None
        layers = layers if isinstance(layers, dict) else {}
        for model in layers:
            named = config_class.resolve({"model_name": model}, {}, path.stem)
            assert named.to_dict()["layer_index"] == layers[model]


@pytest.mark.parametrize(
    ("model", "value"),
    [
        ("7b", 1),
        ("llava-v1.5-7b", 1),
        ("llava-hf/llava-1.5-7b-hf", 1),
        ("someone/my-llava-1.5-7b-tuned", 1),
        ("13b", None),
        ("llava-hf/llava-v1.6-vicuna-7b-hf", None),
        ("Qwen/Qwen2.5-VL-7B-Instruct", 2),
        ("Qwen/Qwen2.5-VL-7B-Instruct-AWQ", 2),
        ("Qwen/Qwen2.5-VL-72B-Instruct", 3),
        ("Qwen/Qwen2-VL-7B-Instruct", None),
        ("google/gemma-3-4b-it", 4),
        ("demo", None),
        ("exactly this", 5),
    ],
)
def test_a_table_of_models_knows_them_under_each_of_their_names(model, value):
    table = {"llava-1.5-7b": 1, "qwen2.5-vl-7b": 2, "qwen2.5-vl": 3, "gemma-3-4b": 4}
    assert ByModel(table | {"exactly this": 5}).of(model) == value


def test_a_folder_is_known_by_its_own_name_also_in_the_hubs_cache(tmp_path, monkeypatch):
    table = ByModel({"llava-1.5-7b": 1})
    cached = tmp_path / "models--llava-hf--llava-1.5-7b-hf" / "snapshots" / "0a1b2c"
    for folder in (tmp_path / "llava_1.5_7b", cached):
        folder.mkdir(parents=True)
        assert table.of(str(folder)) == 1
    (tmp_path / "here").symlink_to(cached)
    monkeypatch.chdir(tmp_path)
    assert table.of("here") == 1
    assert table.of(str(tmp_path)) is None


def test_layers_are_those_of_the_model_unless_somebody_says_otherwise(preset):
    def layers(flags: dict[str, Any], **environment: str) -> Any:
        return LlavaConfig.resolve(flags, environment, preset).to_dict()["layer_index"]

    assert layers({"model_name": "7b"}) == "14+15"
    assert layers({"model_name": "Qwen/Qwen2.5-VL-7B-Instruct"}) == [18, 22]
    assert layers({}, APIPROMPT_MODEL_NAME="7b") == "14+15"
    assert layers({"model_name": "7b"}, APIPROMPT_LAYER_INDEX="9") == 9
    assert layers({"model_name": "7b", "layer_index": "8"}, APIPROMPT_LAYER_INDEX="9") == 8


def test_the_default_layer_of_a_model_that_is_not_in_the_table_is_said_aloud(preset):
    flags = ["llava", "--config", preset, "--print-config"]
    result = CliRunner().invoke(app, [*flags, "--model-name", "demo"])
    assert "names no layer of demo (but of llava-1.5-7b, qwen2.5-vl-7b" in result.stderr
    assert "layer_index: null" in result.stdout
    assert CliRunner().invoke(app, [*flags, "--model-name", "7b"]).stderr == ""


def test_ask_reads_its_section_and_passes_over_the_rest(preset, tmp_path):
    config = AskConfig.resolve({"max_tokens": "9"}, {"APIPROMPT_MODEL": "m"}, preset)
    assert (config.prompt, config.max_tokens, config.model) == ("hint", 9, "m")
    (tmp_path / "flat.yaml").write_text("prompt: iterative\n")
    assert AskConfig.resolve({}, {}, str(tmp_path / "flat.yaml")).prompt == "iterative"
    (tmp_path / "printed.yaml").write_text(config.to_yaml())
    assert AskConfig.resolve({}, {}, str(tmp_path / "printed.yaml")) == config


@pytest.mark.parametrize(
    ("config_class", "content", "says"),
    [
        (ClipConfig, PRESET, "mine.yaml: it is for `apiprompt llava`"),
        (ScoreConfig, PRESET, "mine.yaml: it is for `apiprompt llava`"),
        (AskConfig, "command: [clip, llava]", "`apiprompt clip` and `apiprompt llava`, and has no"),
        (LlavaConfig, "ask: {promt: hint}", "ask: promt: unknown key; did you mean prompt?"),
        (AskConfig, "ask: {promt: hint}", "mine.yaml: promt: unknown key; did you mean prompt?"),
        (LlavaConfig, "ask: {max_tokens: 0}", "ask: max_tokens: expected a whole number of 1"),
        (LlavaConfig, "ask: hint", "ask: expected keys and values of `apiprompt ask`"),
        (LlavaConfig, "layer_index: {7b: x}", "layer_index: of 7b: expected a whole number"),
        (LlavaConfig, "layer_index: {}", "layer_index: expected a value, or values by models'"),
        (LlavaConfig, "kernel_size: {7b: 3}", "kernel_size: expected an odd whole number"),
    ],
)
def test_what_a_file_gets_wrong_is_named(config_class, content, says, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(UsageError) as error:
        config_class.resolve({}, {}, str(path))
    assert says in str(error.value)


@pytest.mark.process
def test_a_preset_is_read_where_nothing_of_ask_is_imported():
    script = (
        "from api_cli.options.llava import LlavaConfig\n"
        "print(LlavaConfig.resolve({'model_name': '7b'}, {}, 'vea').layer_index[0])"
    )
    words = [sys.executable, "-c", script]
    process = subprocess.run(words, capture_output=True, text=True, check=True)
    assert process.stdout == "14+15+17+19\n"


def test_help_lists_the_configurations_that_fit_the_subcommand(monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")

    def listed(command: str) -> str:
        lines = CliRunner().invoke(app, [command, "--help"]).output.splitlines()
        return next(line for line in lines if "YAML file with" in line)

    assert "autov, llava_wild, mmvet, sweep." in listed("clip")
    assert "attwarp, carve, sweep, vea, vicrop." in listed("llava")
    assert "vea." in listed("ask")
    assert "shipped" not in listed("score")


@pytest.mark.model
def test_a_suffix_stands_behind_every_question_the_model_is_asked():
    suffix = " Answer in one word."
    template = PROMPT_TEMPLATE.replace(QUESTION, QUESTION + suffix)
    checkpoint = LlavaCheckpoint("demo")
    maps = []
    for flags in ({"query_suffix": suffix}, {"prompt_template": template}, {}):
        model = LlavaRelevance(checkpoint, max_new_tokens=1, **flags)
        seen = model.prepare(Image.effect_noise((90, 60), 90).convert("RGB"))
        [found] = model.relevance([seen], ["Where?"], [Read(checkpoint.default_layer)])
        maps.append(found.maps)
    assert maps[0].shape == maps[1].shape
    assert not np.array_equal(maps[0], maps[2])


@pytest.mark.model
@pytest.mark.parametrize("name", [p.stem for p in shipped_for("llava") if p.stem != "sweep"])
def test_a_preset_masks_with_any_model(name, make_dataset, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset", "imagefolder", "--data-root", str(make_dataset(("wide",)))]
    words = ["llava", "--config", name, *flags, "--model-name", "demo"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    [folder] = result.stdout.splitlines()
    assert (Path(folder) / "0.jpg").exists() or list(Path(folder).glob("wide*.jpg"))


@pytest.mark.model
def test_autovs_folders_come_out_of_one_sweep(clip_folder, make_dataset, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset", "imagefolder", "--data-root", str(make_dataset())]
    model = ["--model-name", str(clip_folder("ViT-L-14-336")), "--layer-index", "1,3"]
    result = CliRunner().invoke(app, ["clip", "--config", "autov", *flags, *model])
    assert result.exit_code == 0, result.stderr
    expected = [
        f"experiments/APICLIP_imagefolder_ViT-L-14-336_{layer}/1_3_BICUBIC_0" for layer in (1, 3)
    ]
    assert result.stdout.splitlines() == expected
    for folder in expected:
        made = {path.name for path in Path(folder).iterdir() if path.suffix in (".jpg", ".png")}
        assert made == {"square.png", "wide.jpg", "tall.png"}
