"""Finding and loading LLaVAs: names, folders, and what is refused, in one clear line."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from api_cli.errors import ModelError
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint
from tests.conftest import write_llava


@pytest.fixture
def folder(llava_folder, tmp_path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(llava_folder("six-by-six"), tmp_path / "mine"))


def change(path: Path, **values: object) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | values))


def test_a_folder(folder):
    checkpoint = LlavaCheckpoint(str(folder))
    assert checkpoint.short_name == "mine"
    assert (checkpoint.number_of_layers, checkpoint.grid) == (4, (6, 6))
    assert (checkpoint.default_layer, checkpoint.precision) == (2, "fp32")
    identity = checkpoint.identity
    change(folder / "config.json", relevance_layer=3, dtype="float16")
    changed = LlavaCheckpoint(str(folder))
    assert (changed.default_layer, changed.precision) == (3, "fp16")
    assert changed.identity != identity


def test_the_hubs_cache_is_not_read_for_its_digests(folder, tmp_path):
    """Large files there are named by their SHA-256."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    weights = folder / "model.safetensors"
    weights.rename(blobs / ("0" * 64))
    weights.symlink_to(blobs / ("0" * 64))
    first = LlavaCheckpoint(str(folder)).identity
    (blobs / ("0" * 64)).write_bytes(b"another content under the same name")
    assert LlavaCheckpoint(str(folder)).identity == first


def fails(apiprompt, *flags: object, status: int = 1, **environment: str) -> str:
    process = apiprompt("llava", *flags, status=status, **environment)
    assert "Traceback" not in process.stderr
    errors = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, process.stderr
    return errors[0]


def test_an_unknown_name(apiprompt):
    said = fails(apiprompt, "--model-name", "7c")
    assert "unknown model '7c', did you mean 7b? For LLaVA, give 7b, 13b, a hub id" in said


def test_no_network_and_nothing_cached(apiprompt, tmp_path):
    said = fails(apiprompt, "--model-name", "7b", HF_HOME=str(tmp_path))
    assert "7b on the hub (llava-hf/llava-1.5-7b-hf) is not in the cache" in said
    assert "try --model-name demo" in said


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "mine is not a LLaVA: .*config.json"),
        (lambda f: (f / "config.json").write_text("{"), "no config.json that can be read"),
        (lambda f: (f / "config.json").write_text("[1]"), "no config.json that can be read"),
        (lambda f: change(f / "config.json", model_type="llama"), "is a 'llama' model's"),
        (
            lambda f: (f / "config.json").write_text('{"model_type": "llava"}'),
            "authors' own format; take transformers' from llava-hf",
        ),
        (
            lambda f: change(f / "config.json", vision_feature_select_strategy="full"),
            "does not leave one token a patch",
        ),
        (lambda f: (f / "model.safetensors").unlink(), "no .*safetensors"),
        (lambda f: (f / "model.safetensors").write_bytes(b"no"), "could not be loaded"),
        (lambda f: (f / "tokenizer.json").unlink(), "the processor of .* could not be loaded"),
    ],
)
def test_a_folder_that_is_no_llava(spoil, said, folder):
    spoil(folder)
    with pytest.raises(ModelError, match=said) as error:
        load(folder)
    assert "\n" not in str(error.value)


def load(folder: Path) -> None:
    checkpoint = LlavaCheckpoint(str(folder))
    assert checkpoint.identity
    LlavaRelevance(checkpoint)


def test_weights_of_another_model_are_not_filled_up_at_random(folder):
    weights = load_file(folder / "model.safetensors")
    [name] = [name for name in weights if "language" in name and "layers.1.self_attn.q" in name]
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"missing or of another shape: .*layers\.1\.self_attn"):
        load(folder)


def test_a_folder_that_is_no_llava_ends_the_command(folder, apiprompt):
    change(folder / "config.json", model_type="llama")
    said = fails(apiprompt, "--model-name", folder)
    assert "its config.json is a 'llama' model's" in said
    assert "qwen2_5_vl" in said


def test_a_layer_out_of_range(llava_folder, apiprompt):
    said = fails(apiprompt, "--model-name", llava_folder("grouped"), "--layer-index", "3", status=2)
    assert "--layer-index 3: the model has layers 0 to 2 (or -3 to -1" in said


def test_a_processor_with_the_wrong_number_of_image_tokens(apiprompt, tmp_path):
    write_llava(tmp_path / "short", image_size=56, additional_image_tokens=0)
    said = fails(apiprompt, "--model-name", tmp_path / "short")
    assert "its processor makes 15 image tokens of an image of 16 patches" in said
    assert "num_additional_image_tokens" in said


def test_quantised_weights_need_their_library(llava_folder, apiprompt):
    said = fails(apiprompt, "--model-name", llava_folder("grouped"), "--load-in", "4bit", status=2)
    assert "pip install 'apiprompt[bitsandbytes]'" in said


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--prompt-template", "what?", "expected a text with <image> and {question}"),
        ("--load-in", "2bit", "expected 8bit or 4bit"),
        ("--max-new-tokens", "0", "expected a whole number of 1 or more"),
        ("--precision", "fp64", "expected auto, fp32, bf16 or fp16"),
        ("--pretrained", "openai", "No such option"),
    ],
)
def test_flags_are_checked_before_anything_is_loaded(flag, value, said, apiprompt):
    assert said in apiprompt("llava", flag, value, status=2).stderr


def test_a_hub_id_is_found_in_the_hubs_cache(llava_folder, apiprompt, make_dataset, tmp_path):
    """As the hub's library leaves it: snapshots of links to blobs."""
    repository = tmp_path / "home" / "hub" / "models--me--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (repository / "blobs").mkdir()
    for file in llava_folder("six-by-six").iterdir():
        blob = repository / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(blob)
    process = apiprompt(
        "llava", "--model-name", "me/tiny", "--dataset", "imagefolder",
        "--data-root", make_dataset(), HF_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    assert "APILLaVA_imagefolder_me_tiny_2" in process.stdout
    folder = tmp_path / process.stdout.strip()
    identity = LlavaCheckpoint(str(llava_folder("six-by-six"))).identity
    assert f"weights: {identity}" in (folder / "run.yaml").read_text()
