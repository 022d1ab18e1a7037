"""The command line, each promise with a real process."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from PIL import Image

from tests.conftest import clean_environment, read_json_lines, write_json_lines
from tests.layouts import write_llava_wild, write_mm_vet

DEMO = ("clip", "--dataset", "imagefolder", "--model-name", "demo", "--output-folder", "out")


def test_without_a_flag_the_demo_model_masks_the_demo_set(apiprompt, tmp_path):
    process = apiprompt("clip", "--range", 60, 70)
    assert process.stderr.splitlines()[0].startswith("demo: the small demo model on the demo set")
    [folder] = process.stdout.splitlines()
    assert folder.startswith("experiments/APICLIP_demo_demo_")
    rows = read_json_lines(tmp_path / folder / "metadata.jsonl")
    assert [row["index"] for row in rows] == [60, 61, 62, 63], "cut at the dataset's end"
    for row in rows:
        assert next(iter(row)) == "file_name"
        x0, y0, x1, y1 = row["box"]
        with Image.open(tmp_path / folder / row["file_name"]) as masked:
            assert 0 <= x0 < x1 <= masked.width
            assert 0 <= y0 < y1 <= masked.height
        assert row["answer"]
        assert row["objects"]


def test_help_and_version_answer_without_loading_torch():
    script = (
        "import sys\nfrom api_cli.cli import app\n"
        "for words in (['--help'], ['clip', '--help'], ['--version'], ['datasets']):\n"
        "    try: app(words)\n"
        "    except SystemExit as exit: assert not exit.code\n"
        "heavy = {'torch', 'transformers', 'open_clip', 'datasets', 'torchvision'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "--layer-index" in process.stdout
    assert "apiprompt 0." in process.stdout
    assert "imagefolder" in process.stdout


def test_a_run_from_kept_maps_starts_nothing_heavy(apiprompt, tmp_path):
    apiprompt("clip", "--range", 0, 2)
    script = (
        "import sys\nfrom api_cli.cli import main\n"
        "sys.argv = ['apiprompt', 'clip', '--range', '0', '2', '--enhance-coe', '9']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'torchvision', 'transformers', 'open_clip', 'datasets', 'openai'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert len(read_json_lines(tmp_path / process.stdout.strip() / "metadata.jsonl")) == 2


def test_flags_take_either_spelling(apiprompt):
    for flags in (
        ("--layer-index", "-1", "--enhance-coe=2.50", "--model-name", "a_b-c"),
        ("--layer_index", "-1", "--enhance_coe=2.50", "--model_name", "a_b-c"),
    ):
        config = yaml.safe_load(apiprompt("clip", *flags, "--print-config").stdout)
        assert (config["layer_index"], config["enhance_coe"], config["model_name"]) == (
            -1, 2.5, "a_b-c",
        )  # fmt: skip


def test_flags_win_over_environment_over_yaml_over_defaults(apiprompt, tmp_path):
    (tmp_path / "mine.yaml").write_text("enhance_coe: 1\nkernel_size: 5\ngrayscale: [0, 9]\n")
    process = apiprompt(
        "clip", "--config", "mine.yaml", "--enhance-coe", "3", "--print-config",
        APIPROMPT_ENHANCE_COE="2", APIPROMPT_KERNEL_SIZE="7", APIPROMPT_RANGE="3 9",
    )  # fmt: skip
    config = yaml.safe_load(process.stdout)
    assert config["enhance_coe"] == 3
    assert config["kernel_size"] == 7
    assert config["grayscale"] == [0, 9]
    assert config["range"] == [3, 9]
    assert config["quality"] == 95


def test_a_printed_configuration_reads_back(apiprompt, tmp_path):
    printed = apiprompt("clip", "--config", "sweep", "--range", 0, 7, "--print-config").stdout
    (tmp_path / "again.yaml").write_text(printed)
    assert apiprompt("clip", "--config", "again.yaml", "--print-config").stdout == printed


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (("--layer-indx", "3"), {}, "--layer-index"),
        (("--config", "bad_key.yaml"), {}, "layer_indx: unknown key; did you mean layer_index?"),
        (("--config", "bad_value.yaml"), {}, "bad_value.yaml: kernel_size: expected an odd"),
        (("--config", "broken.yaml"), {}, "broken.yaml: cannot be read as YAML"),
        (("--config", "nowhere"), {}, "llava_wild, mmvet, sweep"),
        ((), {"APIPROMPT_KERNAL_SIZE": "3"}, "did you mean kernel_size?"),
        (
            (),
            {"APIPROMPT_FIT": "pdd"},
            "APIPROMPT_FIT: expected auto, paper, squash, pad or native; did you",
        ),
        (("--kernel-size", "4"), {}, "--kernel-size: expected an odd whole number"),
        (("--grayscale", "256"), {}, "--grayscale: expected a whole number from 0 to 255"),
        (("--enhance-coe", "nan"), {}, "--enhance-coe: expected a number"),
        (("--interpolate-method-name", "LANCZOSS"), {}, "did you mean LANCZOS?"),
        (("--range", "5", "2"), {}, "0 <= START <= STOP"),
        (("--range", "-3", "2"), {}, "0 <= START <= STOP"),
        (("--dataset", "mmvt"), {}, "did you mean mmvet?"),
        (("--batch-size", "0"), {}, "--batch-size: expected a whole number of 1 or more, or auto"),
    ],
)
def test_wrong_usage_is_named_before_anything_is_loaded(
    arguments, environment, says, apiprompt, tmp_path
):
    (tmp_path / "bad_key.yaml").write_text("layer_indx: 3\n")
    (tmp_path / "bad_value.yaml").write_text("kernel_size: 2\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    process = apiprompt("clip", *arguments, status=2, **environment)
    assert says in process.stderr
    assert process.stdout == ""
    assert not (tmp_path / "experiments").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--layer-index", "9"), 2, "the model has layers 0 to 4 (or -5 to -1, from the end)"),
        (("--device", "cuda:77"), 2, "--device cuda:77: not to be had here"),
        (("--model-name", "RN50"), 1, "its image tower is a ResNet; supported: open_clip ViTs"),
        (("--dataset", "mmvet"), 1, "mm-vet.json not found in dataset/mm-vet; get mm-vet.zip"),
    ],
)
def test_what_a_user_can_mend_is_one_line(arguments, status, says, apiprompt, tmp_path):
    process = apiprompt("clip", *arguments, status=status)
    [error] = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert says in error
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "experiments").exists()


def test_bad_samples_go_to_the_ledger_and_are_tried_again(apiprompt, make_dataset, tmp_path):
    root = make_dataset(("square", "wide", "tall", "grey"))
    whole = (root / "wide.jpg").read_bytes()
    (root / "wide.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "tall.png").rename(root / "away.png")
    rows = read_json_lines(root / "metadata.jsonl")
    rows.append({"file_name": "grey.png", "question": " ", "key": "blank"})
    write_json_lines(root / "metadata.jsonl", rows)

    process = apiprompt(*DEMO, "--data-root", root, status=3)
    folder = tmp_path / process.stdout.strip()
    failed = read_json_lines(folder / "errors.jsonl")
    assert [(row["key"], row["index"], row["stage"]) for row in failed] == [
        ("wide", 1, "read"), ("tall", 2, "read"), ("blank", 4, "list"),
    ]  # fmt: skip
    assert "truncated" in failed[0]["error"]
    assert "tall.png" in failed[1]["error"]
    assert "question is empty" in failed[2]["error"]
    assert [r["key"] for r in read_json_lines(folder / "metadata.jsonl")] == ["square", "grey"]

    (root / "wide.jpg").write_bytes(whole)
    (root / "away.png").rename(root / "tall.png")
    apiprompt(*DEMO, "--data-root", root, "--range", 0, 4)
    assert [row["key"] for row in read_json_lines(folder / "errors.jsonl")] == ["blank"]
    assert len(read_json_lines(folder / "metadata.jsonl")) == 4


def test_quiet_and_dry_run(apiprompt, make_dataset, tmp_path):
    root = make_dataset()
    process = apiprompt(*DEMO, "--data-root", root, "--dry-run")
    assert "5_3_LANCZOS_0: 3 of 3 samples to do" in process.stderr
    assert process.stdout == ""
    assert not (tmp_path / "out").exists()
    process = apiprompt(*DEMO, "--data-root", root, "--quiet")
    assert process.stderr == ""
    assert process.stdout.count("\n") == 1


@pytest.mark.parametrize("name", ["mmvet", "llava_wild"])
def test_the_shipped_configurations_run_the_authors_layouts(
    name, apiprompt, make_dataset, tmp_path, photographs
):
    if name == "mmvet":
        folder = tmp_path / "dataset" / "mm-vet"
        write_mm_vet(folder, photographs)
        keys, setting = ["v1_0", "v1_1"], "1_3_BICUBIC_0"
    else:
        folder = tmp_path / "dataset" / "LLaVA_Wild" / "llava-bench-in-the-wild"
        write_llava_wild(folder, photographs)
        keys, setting = ["0", "1"], "10_7_LANCZOS_200"
    process = apiprompt("clip", "--config", name, "--model-name", "demo")
    results = tmp_path / process.stdout.strip()
    assert results.name == setting
    rows = read_json_lines(results / "metadata.jsonl")
    assert [row["key"] for row in rows] == keys
    assert [row["file_name"] for row in rows] == [f"{key}.jpg" for key in keys]
    if name == "mmvet":
        assert rows[0]["answer"] == "7<AND>seven<OR>VII"
        assert rows[0]["capability"] == ["ocr", "math"]
    else:
        assert rows[1]["category"] == "complex"
