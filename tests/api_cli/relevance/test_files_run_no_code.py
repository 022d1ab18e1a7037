"""A checkpoint's own files shape a model, and lead no library to run code."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from api_cli.errors import ModelError
from api_cli.relevance.clip import ClipRelevance
from api_cli.relevance.clip.checkpoint import DEMO_FOLDER, ClipCheckpoint
from api_cli.relevance.llava import LlavaRelevance
from api_cli.relevance.llava.checkpoint import DEMO_FOLDER as LLAVA_FOLDER
from api_cli.relevance.llava.checkpoint import LlavaCheckpoint

pytestmark = pytest.mark.model

AUTO_MAP = {
    "AutoConfig": "evil.E",
    "AutoProcessor": "evil.E",
    "AutoImageProcessor": "evil.E",
    "AutoModelForImageTextToText": "evil.E",
    "AutoTokenizer": ["evil.E", "evil.E"],
}


@pytest.fixture
def ran(tmp_path, monkeypatch) -> Path:
    """What code of a folder would make; a question whether to run it would be answered with yes."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 100))
    return tmp_path / "ran"


def plant(folder: Path, ran: Path) -> None:
    (folder / "evil.py").write_text(
        f"open({str(ran)!r}, 'w')\nfrom transformers import PreTrainedTokenizer\n"
        "class E(PreTrainedTokenizer): pass\n"
    )


def change(path: Path, **values: Any) -> None:
    content = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(content | values))


def clip_copy(tmp_path: Path, model: dict[str, Any], text: dict[str, Any]) -> Path:
    folder = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"] |= model
    config["model_cfg"]["text_cfg"] |= text
    path.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "text",
    [
        {"tokenizer_kwargs": {"trust_remote_code": True}},
        {
            "tokenizer_kwargs": {"use_fast": False, "code_revision": "x"},
            "hf_tokenizer_name": "me/x",
        },
        {"hf_model_name": "evil", "hf_model_pretrained": True},
    ],
)
def test_a_clip_folders_keys_run_nothing(text, ran, tmp_path):
    folder = clip_copy(tmp_path, {}, text)
    plant(folder, ran)
    change(folder / "tokenizer_config.json", tokenizer_class="E", auto_map=AUTO_MAP)
    with contextlib.suppress(ModelError):
        ClipRelevance(ClipCheckpoint(str(folder)))
    assert not ran.exists()


def test_a_clip_folders_harmless_keys_count_and_unknown_ones_do_not(tmp_path):
    folder = clip_copy(
        tmp_path,
        {"custom_text": False, "from_the_future": 1, "init_logit_scale": 1.0},
        {"tokenizer_kwargs": {"clean": "lower", "language": None}, "act_kwargs": {"evil": 1}},
    )
    upper, lower = ClipRelevance(ClipCheckpoint(str(folder))).tokenizer(["A CAT", "a cat"])
    assert torch.equal(upper, lower)


@pytest.mark.parametrize(
    "file", ["config.json", "tokenizer_config.json", "processor_config.json",
             "preprocessor_config.json", "generation_config.json"],
)  # fmt: skip
def test_a_llava_folders_keys_run_nothing(file, ran, tmp_path):
    folder = Path(shutil.copytree(LLAVA_FOLDER, tmp_path / "model"))
    plant(folder, ran)
    named = {"tokenizer_config.json": "tokenizer_class", "processor_config.json": "processor_class"}
    change(
        folder / file, auto_map=AUTO_MAP, trust_remote_code=True, attn_implementation="me/kernel",
        custom_generate="me/decoding", **({named[file]: "E"} if file in named else {}),
    )  # fmt: skip
    with contextlib.suppress(ModelError):
        LlavaRelevance(LlavaCheckpoint(str(folder)))
    assert not ran.exists()


class Code:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("kind", ["torch", "pickle", "TorchScript"])
@pytest.mark.filterwarnings("ignore")
def test_a_refused_pickle_is_not_recommended_all_the_same(kind, tmp_path, capsys):
    folder = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    (folder / "open_clip_model.safetensors").unlink()
    weights = folder / "weights.bin"
    if kind == "torch":
        torch.save({"state_dict": Code()}, weights)
    elif kind == "pickle":
        weights.write_bytes(pickle.dumps(Code()))
    else:
        torch.jit.script(torch.nn.Linear(2, 2)).save(weights)
    with pytest.raises(ModelError, match="more than tensors") as error:
        ClipCheckpoint(str(folder)).create_model()
    said = f"{error.value}\n{capsys.readouterr()}"
    assert "code ran" not in said
    for advice in ("weights_only", "can still be loaded", "trust"):
        assert advice not in str(error.value)


@pytest.mark.parametrize("name", ["epoch_3.pt", "epoch_3.pth", "mine.bin"])
def test_a_trainers_folder_is_read_as_it_is(name, tmp_path):
    """open_clip's trainer: epoch_N.pt with the optimizer beside the weights, under `module.`."""
    folder = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    weights = safetensors.torch.load_file(folder / "open_clip_model.safetensors")
    (folder / "open_clip_model.safetensors").unlink()
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))], lr=0.1).state_dict()
    state = {f"module.{key}": value for key, value in weights.items()}
    torch.save(
        {"epoch": 3, "name": "run", "state_dict": state, "optimizer": optimizer}, folder / name
    )
    model = ClipCheckpoint(str(folder)).create_model()
    torch.testing.assert_close(model.visual.proj.data, weights["visual.proj"].float())
