"""What can be swept: folders' names, records, older folders, refusals, and a real run of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from api_cli.console import Console
from api_cli.errors import RunFolderError, UsageError
from api_cli.masking import Keep, MaskSettings, apply_mask, llava_mask
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.options.prompt import GENERAL_QUESTION
from api_cli.relevance import Read
from api_cli.relevance.layers import resolve_layers
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from api_cli.runs.map_store import list_stores
from api_cli.runs.names import safe_name
from api_cli.runs.pictures import decode
from api_cli.runs.record import check_settings
from api_cli.runs.run import run
from api_cli.runs.settings import LATER, list_settings
from tests.conftest import read_json_lines, write_json_lines


def settings_of(*layers: tuple[int, ...], **flags: str):
    return list_settings(LlavaConfig.resolve(flags, {}), "APILLaVA_demo_x", layers or [(2,)])


def names(**flags: str) -> list[str]:
    return [setting.path.name for setting in settings_of(**flags)]


def test_folders_of_default_runs_are_called_as_ever():
    [setting] = settings_of((22,))
    assert setting.path == Path("experiments/APILLaVA_demo_x_22/5_3_LANCZOS_0")
    assert setting.mask == MaskSettings()
    assert setting.reads == (Read(22),)
    assert names(enhance_coe="1,2.5", kernel_size="7", grayscale="200") == [
        "1_7_LANCZOS_200",
        "2.5_7_LANCZOS_200",
    ]


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"smooth": "gaussian:0.50"}, "5_gaussian-0.5_LANCZOS_0"),
        ({"enhance_coe": "none"}, "none_3_LANCZOS_0"),
        ({"denoise": "10", "floor": "0.5"}, "5_3_LANCZOS_0_denoise-10_floor-0.5"),
        ({"floor": "0.5", "denoise": "10"}, "5_3_LANCZOS_0_denoise-10_floor-0.5"),
        ({"softmax": "all"}, "5_3_LANCZOS_0_softmax-all"),
        ({"token_weights": "linear"}, "5_3_LANCZOS_0_tokens-linear"),
        ({"relative": "ratio"}, "5_3_LANCZOS_0_ratio"),
        ({"relative_to": "What?"}, "5_3_LANCZOS_0"),
        ({"keep": "0.40:2"}, "5_3_LANCZOS_0_keep-0.4-2"),
        ({"keep": "0.4", "shuffle_masks": "7"}, "5_3_LANCZOS_0_keep-0.4_shuffled-7"),
    ],
)
def test_a_name_says_what_differs_shortly_and_on_every_disk(flags, name):
    assert names(**flags) == [name]
    assert safe_name(name) == name


def test_another_general_question_is_another_folder():
    [usual], [one], [other] = (
        names(relative="ratio", **to) for to in ({}, {"relative_to": "What?"}, {"relative_to": "?"})
    )
    assert re.fullmatch(f"{usual}-[0-9a-f]{{8}}", one)
    assert len({usual, one, other}) == 3


def test_every_combination_is_made_once_and_a_gaussian_has_no_kernel():
    made = names(smooth="mean,gaussian:0.5", kernel_size="3,7", keep="none,0.4:2")
    assert len(made) == len(set(made)) == (2 + 1) * 2
    one, other = (settings_of(smooth="gaussian:1", kernel_size=k)[0] for k in ("3", "7"))
    assert one == other


def test_layers_are_swept_by_commas_and_averaged_by_plus():
    class Model:
        number_of_layers = 24
        default_layer = -2

    given = LlavaConfig.resolve({"layer_index": "14+15+17,-1, 15+-10"}, {}).layer_index
    assert given == ("14+15+17", -1, "15+-10")
    layers = resolve_layers(given, Model())
    assert layers == [(14, 15, 17), (23,), (14, 15)]
    mean, single, _ = settings_of(*layers)
    assert mean.path.parent.name == "APILLaVA_demo_x_14+15+17"
    assert mean.reads == (Read(14), Read(15), Read(17))
    assert mean.values["layer_index"] == "14+15+17"
    assert single.values["layer_index"] == 23
    with pytest.raises(UsageError, match="--layer-index 24: the model has layers 0 to 23"):
        resolve_layers(("3+24",), Model())


def test_what_was_resolved_reads_back_from_yaml(tmp_path):
    flags = {
        "layer_index": "14+15", "enhance_coe": "none,5", "smooth": "gaussian:0.5",
        "keep": "0.4:2,none", "denoise": "10", "floor": "0.5", "relative": "ratio",
        "softmax": "image,all", "token_weights": "linear",
    }  # fmt: skip
    config = LlavaConfig.resolve(flags, {})
    (tmp_path / "c.yaml").write_text(config.to_yaml())
    assert LlavaConfig.resolve({}, {}, str(tmp_path / "c.yaml")) == config
    assert settings_of(keep="0.4:2")[0].mask.keep == Keep(0.4, 2)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("keep", "0", "expected SHARE or SHARE:REGIONS"),
        ("keep", "1.5", "expected SHARE or SHARE:REGIONS"),
        ("keep", "0.5:0", "expected SHARE or SHARE:REGIONS"),
        ("keep", "0.5:", "expected SHARE or SHARE:REGIONS"),
        ("smooth", "gaussian", "expected mean, or gaussian:S"),
        ("smooth", "gaussian:0", "expected mean, or gaussian:S"),
        ("floor", "2", "expected a number from 0 to 1"),
        ("denoise", "0.5", "expected a number of 1 or more, or none"),
        ("relative", "ration", "did you mean ratio"),
        ("softmax", "text", "expected image or all"),
        ("layer_index", "14+x", "expected a whole number, or several as in 14+15+17"),
        ("enhance_coe", "much", "expected a number, or none"),
    ],
)
def test_a_bad_value_is_named_with_what_is_expected(name, value, expected):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}: .*{re.escape(expected)}"):
        LlavaConfig.resolve({name: value}, {})


@pytest.mark.parametrize(
    "flags",
    [
        {"softmax": "all"},
        {"token_weights": "linear"},
        {"relative": "none,ratio"},
        {"denoise": "10"},
    ],
)
def test_steps_of_attention_are_refused_for_clip_with_the_reason(flags):
    [(name, value)] = flags.items()
    word = value.rpartition(",")[2]
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} {word}: .*maps are signed"):
        ClipConfig.resolve(flags, {})
    ClipConfig.resolve({"smooth": "gaussian:0.5", "keep": "0.4:2", "floor": "0.5"}, {})


def test_an_older_folder_is_one_of_the_defaults(tmp_path):
    [default] = settings_of()
    old = {name: value for name, value in default.values.items() if name not in LATER}
    assert set(old) == {
        "layer_index", "enhance_coe", "kernel_size", "interpolate_method_name", "grayscale",
    }  # fmt: skip
    (tmp_path / "run.yaml").write_text(yaml.safe_dump({"settings": old}))
    check_settings(tmp_path, default.values)
    [other] = settings_of(floor="0.5")
    with pytest.raises(RunFolderError, match=r"floor is 0.5, was 0[;.]"):
        check_settings(tmp_path, other.values)


def run_llava(root: Path, output: Path, **flags: str):
    given = {
        "dataset": "imagefolder", "data_root": str(root), "model_name": "demo", "format": "png",
        "fit": "squash", "output_folder": str(output), "max_new_tokens": "3", "quiet": "true",
    }  # fmt: skip
    return run(LlavaConfig.resolve(given | flags, {}), Console(quiet=True), Launch())


@pytest.mark.model
def test_a_sweep_of_everything_is_one_pass_and_then_needs_no_model(make_dataset, tmp_path):
    root = make_dataset(("square", "wide"))
    swept = {
        "layer_index": "1,1+2", "softmax": "image,all", "token_weights": "even,first",
        "relative": "none,ratio",
    }  # fmt: skip
    first = run_llava(root, tmp_path, **swept)
    assert first.report is not None
    assert (first.report.finished, first.report.failed) == (2, 0)
    assert len(first.folders) == 16
    again = {"keep": "0.4:2", "floor": "0.5", "enhance_coe": "none", "denoise": "10"}
    second = run_llava(root, tmp_path, **swept, **again, smooth="gaussian:0.5")
    assert second.report is not None
    assert (second.report.finished, second.report.seconds_model) == (2, 0)

    model = LlavaRelevance(LlavaCheckpoint("demo"), fit="squash", max_new_tokens=3)
    layers = [Read(1, "all", "first"), Read(2, "all", "first")]
    folder = tmp_path / "APILLaVA_imagefolder_demo_1+2"
    folder /= (
        "none_gaussian-0.5_LANCZOS_0_softmax-all_tokens-first_ratio_denoise-10_floor-0.5_keep-0.4-2"
    )
    assert folder in second.folders
    record = yaml.safe_load((folder / "run.yaml").read_text())["settings"]
    assert record["relative_to"] == GENERAL_QUESTION
    assert (record["keep"], record["layer_index"]) == ("0.4:2", "1+2")
    settings = MaskSettings(
        None, 3, relative="ratio", denoise=10, smooth=0.5, floor=0.5, keep=Keep(0.4, 2)
    )
    for row in read_json_lines(folder / "metadata.jsonl"):
        assert "auxiliary_answer" in row
        [path] = root.glob(f"{row['key']}.*")
        image = decode(path.read_bytes())
        prepared = model.prepare(image)
        own, general = model.relevance(
            [prepared] * 2, [row["question"], GENERAL_QUESTION], layers, [1]
        )
        mask = llava_mask(own.maps.mean(axis=0), settings, general.maps.mean(axis=0))
        expected = apply_mask(image, mask, settings, prepared.part.box)
        with Image.open(folder / row["file_name"]) as made:
            difference = np.abs(np.asarray(made).astype(int) - np.asarray(expected))
        assert np.quantile(difference, 0.99) <= 1


@pytest.mark.model
def test_the_general_map_is_one_row_a_picture_and_made_only_when_asked_for(make_dataset, tmp_path):
    root = make_dataset(("square",))
    [row] = read_json_lines(root / "metadata.jsonl")
    rows = [row | {"key": f"{n}", "question": f"{row['question']} {n}"} for n in range(3)]
    write_json_lines(root / "metadata.jsonl", rows)

    def kept() -> int:
        return sum(store.maps for store in list_stores(tmp_path / "out"))

    run_llava(root, tmp_path / "out", layer_index="1")
    assert kept() == 3
    done = run_llava(root, tmp_path / "out", layer_index="1", relative="ratio,difference")
    assert done.report is not None
    assert done.report.finished == 3
    assert kept() == 3 + 1
