"""Finding and loading CLIP checkpoints: names, tags, hub ids, files and folders."""

from __future__ import annotations

import json
import shutil

import open_clip
import pytest
import torch
from open_clip.transformer import QuickGELU

from api_cli.errors import ModelError, UsageError
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import ClipCheckpoint
from tests.conftest import write_clip


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    ("model_name", "pretrained", "says"),
    [
        ("RN50", None, "RN50: its image tower is a ResNet; supported: open_clip ViTs with a CLS"),
        ("convnext_base", None, "its image tower is timm's convnext_base, convolutions or windows"),
        ("ViTamin-B", None, "vitamin_base_224, a hybrid of convolutions and attention"),
        ("EVA02-E-14", None, "eva02_enormous_patch14_clip_224, which normalises after"),
        (
            "ViT-B-16-SigLIP",
            None,
            "has no weights 'openai': pass --pretrained with a file or a tag",
        ),
        ("ViT-B-33", None, "did you mean ViT-B-32"),
        ("ViT-B-32", "laion", "laion2b_s34b_b79k"),
        ("ViT-B-32", None, "--model-name demo"),
        ("hf-hub:nobody/nothing", None, "open_clip_config.json could not be read"),
        ("local-dir:nowhere", None, "such as open_clip_model.safetensors; there is none"),
        ("demo", "openai", "does not go with --model-name demo"),
    ],
)
def test_a_model_that_cannot_be_had_is_named(model_name, pretrained, says):
    with pytest.raises(ModelError) as error:
        ClipCheckpoint(model_name, pretrained).identity  # noqa: B018
    assert says in str(error.value)


def test_of_a_trainers_epochs_the_one_that_is_meant_is_asked_for(tmp_path):
    folder = tmp_path / "checkpoints"
    write_clip(folder, image_size=32, patch_size=16)
    [weights] = folder.glob("open_clip_model*")
    for epoch in (1, 2):
        shutil.copy(weights, folder / f"epoch_{epoch}.safetensors")
    weights.unlink()
    with pytest.raises(ModelError, match=r"are meant\? There are epoch_1\.\w+, epoch_2"):
        ClipCheckpoint(str(folder))
    chosen = tmp_path / "second"
    chosen.mkdir()
    shutil.copy(folder / "open_clip_config.json", chosen)
    (chosen / "epoch_2.safetensors").symlink_to(folder / "epoch_2.safetensors")
    assert ClipCheckpoint(str(chosen)).create_model() is not None


def test_average_pooling_and_normalised_attention_are_refused(tmp_path):
    write_clip(tmp_path / "avg", image_size=32, patch_size=16, pool_type="avg")
    with pytest.raises(ModelError, match="pools by 'avg', not by the CLS token"):
        ClipCheckpoint(str(tmp_path / "avg"))
    write_clip(tmp_path / "norm", image_size=32, patch_size=16, qk_norm=True)
    with pytest.raises(ModelError, match="its attention has qk_norm"):
        ClipCheckpoint(str(tmp_path / "norm"))


def test_openai_tags_get_quick_gelu_and_others_do_not():
    assert ClipCheckpoint("ViT-L-14-336").quick_gelu
    assert ClipCheckpoint("ViT-L-14-336-quickgelu").quick_gelu
    assert not ClipCheckpoint("ViT-L-14", "laion2b_s32b_b82k").quick_gelu
    with pytest.raises(ModelError, match="has no weights 'laion2b_s32b_b82k'"):
        ClipCheckpoint("ViT-L-14-quickgelu", "laion2b_s32b_b82k")


def test_openai_weights_from_a_file_need_an_architecture_with_quick_gelu(tmp_path):
    architecture, weights = architecture_and_weights(tmp_path, "openai_tiny.pt", quick_gelu=False)
    with pytest.raises(ModelError, match=f"use --model-name {architecture}-quickgelu"):
        ClipCheckpoint(architecture, str(weights))
    architecture, weights = architecture_and_weights(tmp_path, "openai_tiny.pt", quick_gelu=True)
    model = ClipCheckpoint(architecture, str(weights)).create_model()
    assert isinstance(model.visual.transformer.resblocks[0].mlp.gelu, QuickGELU)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_an_architecture_takes_its_weights_from_a_file(name, tmp_path):
    architecture, weights = architecture_and_weights(tmp_path, name)
    checkpoint = ClipCheckpoint(architecture, str(weights))
    model = checkpoint.create_model()
    saved = open_clip.factory.load_state_dict(str(weights))
    torch.testing.assert_close(model.visual.proj.data, saved["visual.proj"])
    assert len(checkpoint.identity) == 16
    assert ClipRelevance(checkpoint).number_of_layers == 5


def test_files_that_are_no_weights_are_refused(tmp_path):
    architecture, weights = architecture_and_weights(tmp_path, "weights.pt")
    code = tmp_path / "code.pt"
    torch.save({"state_dict": torch.nn.Linear(2, 2)}, code)  # a pickled object, not tensors
    with pytest.raises(ModelError, match=r"code\.pt could not be loaded as tiny"):
        ClipCheckpoint(architecture, str(code)).create_model()
    torch.save({"visual.proj": torch.zeros(2)}, weights)
    with pytest.raises(ModelError, match="it must hold a state dict of that architecture"):
        ClipCheckpoint(architecture, str(weights)).create_model()


def test_a_folder_needs_a_configuration_and_one_weights_file(tmp_path):
    folder = tmp_path / "model"
    write_clip(folder, image_size=32, patch_size=16)
    assert ClipCheckpoint(str(folder)).short_name == "model"
    shutil.move(folder / "open_clip_model.safetensors", folder / "a.safetensors")
    first = ClipCheckpoint(str(folder)).identity
    shutil.copy(folder / "a.safetensors", folder / "b.safetensors")
    with pytest.raises(ModelError, match=r"a\.safetensors, b\.safetensors"):
        ClipCheckpoint(str(folder))
    (folder / "b.safetensors").unlink()
    assert ClipCheckpoint(f"local-dir:{folder}").identity == first
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(ModelError, match=r"open_clip_config\.json could not be read"):
        ClipCheckpoint(str(folder))


def test_a_fit_or_precision_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="squash"):
        ClipRelevance(ClipCheckpoint("demo"), fit="stretch")


def architecture_and_weights(tmp_path, name, quick_gelu=False):
    """Register a small architecture with open_clip and write its weights to a file."""
    architecture = "tiny-quickgelu-own" if quick_gelu else "tiny"
    folder = tmp_path / architecture
    write_clip(folder, quick_gelu=quick_gelu, image_size=32, patch_size=16)
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / f"{architecture}.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / f"{architecture}.json")
    weights = tmp_path / name
    source = folder / "open_clip_model.safetensors"
    if weights.suffix == ".safetensors":
        shutil.copy(source, weights)
    else:
        torch.save(open_clip.factory.load_state_dict(str(source)), weights)
    return architecture, weights
