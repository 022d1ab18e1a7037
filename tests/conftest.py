"""What tests share: photographs, small checkpoints, and the program as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import skimage
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from datasets_manager import Sample

# tests run one a core: more threads would only wait for each other
torch.set_num_threads(1)
# and on the CPU, whose results they expect; tests/api_cli/test_cuda.py has what a GPU is to do
os.environ["CUDA_VISIBLE_DEVICES"] = ""

_PROCESS_FIXTURES = {"apiprompt", "running_server"}  # a server in a thread, over real HTTP
_MODEL_FIXTURES = {"clip_folder", "llava_folder"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a process or a model of its own, so that `make quick` leaves it out."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & _PROCESS_FIXTURES:
            item.add_marker(pytest.mark.process)
        if fixtures & _MODEL_FIXTURES:
            item.add_marker(pytest.mark.model)


QUESTIONS = ("What colour is the cat?", "How many people wear a hat, and why?", "Where is it?")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real photographs of every shape and mode that users have, 200 to 350 pixels a side."""
    source = Path(skimage.__file__).parent / "data"
    folder = tmp_path_factory.mktemp("photographs")

    def load(name: str, size: tuple[int, int]) -> Image.Image:
        picture = Image.open(source / name).convert("RGB").resize(size)
        picture.info.clear()  # profiles have tests of their own
        return picture

    rotated = Image.Exif()
    rotated[0x0112] = 6  # a camera held upright
    pictures: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "square.png": (load("astronaut.png", (256, 256)), {}),
        "wide.jpg": (load("chelsea.png", (350, 211)), {"quality": 95}),
        "tall.png": (load("coffee.png", (350, 233)).crop((80, 0, 187, 233)), {}),
        "grey.png": (load("camera.png", (240, 240)).convert("L"), {}),
        "palette.png": (load("rocket.jpg", (300, 200)).quantize(64), {}),
        "rgba.png": (load("hubble_deep_field.jpg", (218, 250)).convert("RGBA"), {}),
        "rotated.jpg": (load("motorcycle_left.png", (320, 215)), {"exif": rotated}),
    }
    pictures["rgba.png"][0].putalpha(128)
    for name, (picture, options) in pictures.items():
        picture.save(folder / name, **options)
    return {Path(name).stem: folder / name for name in pictures}


MakeDataset = Callable[..., Path]


@pytest.fixture
def make_dataset(tmp_path: Path, photographs: dict[str, Path]) -> MakeDataset:
    """Write an image folder of photographs with questions; return it."""

    def make(
        names: Iterable[str] = ("square", "wide", "tall"), folder: str = "pictures", **columns: Any
    ) -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        rows = []
        for index, name in enumerate(names):
            path = photographs[name]
            (root / path.name).write_bytes(path.read_bytes())
            row = {"file_name": path.name, "question": QUESTIONS[index % 3], "key": name}
            rows.append(row | {column: values[index] for column, values in columns.items()})
        write_json_lines(root / "metadata.jsonl", rows)
        return root

    return make


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Checkpoint folders with random weights: real ViTs' grids, narrower."""
    made: dict[str, Path] = {}
    shapes = {"ViT-B-32": (224, 32), "ViT-B-16": (224, 16), "ViT-L-14-336": (336, 14)}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("clip") / name
            image_size, patch_size = shapes[name]
            write_clip(made[name], image_size=image_size, patch_size=patch_size)
        return made[name]

    return make


def write_clip(folder: Path, quick_gelu: bool = False, **vision: Any) -> None:
    """Write a small CLIP with random weights as an open_clip model folder."""
    config = {
        "embed_dim": 48,
        "quick_gelu": quick_gelu,
        "vision_cfg": {"width": 96, "layers": 5, "head_width": 32, **vision},
        "text_cfg": {
            "context_length": 77,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    }
    torch.manual_seed(len(str(vision)))
    model = open_clip.CLIP(**config)
    for name, weight in model.named_parameters():  # attention and norms that do not lie idle
        if "in_proj" in name:
            torch.nn.init.normal_(weight, std=0.2)
        elif ".ln_" in name or "ln_p" in name:
            torch.nn.init.normal_(weight, mean=float(name.endswith("weight")), std=0.3)
    folder.mkdir(parents=True)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    description = json.dumps({"model_cfg": config, "preprocess_cfg": {}})
    (folder / "open_clip_config.json").write_text(description)


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """LLaVAs in transformers' format with random weights: two grids, one with grouped heads."""
    made: dict[str, Path] = {}
    shapes: dict[str, dict[str, Any]] = {
        "six-by-six": {"image_size": 84, "patch_size": 14, "layers": 4, "heads": 4, "groups": 4},
        "grouped": {"image_size": 80, "patch_size": 8, "layers": 3, "heads": 6, "groups": 2},
    }

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("llava") / name
            write_llava(made[name], **shapes[name])
        return made[name]

    return make


def write_llava(
    folder: Path,
    *,
    image_size: int = 28,
    patch_size: int = 14,
    layers: int = 2,
    heads: int = 2,
    groups: int = 2,
    context: int = 512,
    additional_image_tokens: int = 1,
    siglip: bool = False,
) -> None:
    """Write a small LLaVA with random weights as a transformers folder."""
    vocabulary = Tokenizer(models.BPE())
    vocabulary.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocabulary.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<image>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    vocabulary.train_from_iterator([*QUESTIONS, "USER: ASSISTANT: yes no red left"] * 9, trainer)
    start = [("<s>", vocabulary.token_to_id("<s>"))]
    vocabulary.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=start)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=vocabulary, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    side = {"height": image_size, "width": image_size}
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": image_size}, crop_size=side),
        tokenizer,
        patch_size=patch_size,
        vision_feature_select_strategy="full" if siglip else "default",
        num_additional_image_tokens=0 if siglip else additional_image_tokens,
    ).save_pretrained(folder)

    vision: dict[str, Any] = {"image_size": image_size, "patch_size": patch_size, "hidden_size": 48}
    shape: dict[str, Any] = {
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "intermediate_size": 96,
    }
    tower = SiglipVisionConfig(**vision, **shape) if siglip else CLIPVisionConfig(**vision, **shape)
    language = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16 * heads,
        intermediate_size=96,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=context,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(heads + groups)
    image = tokenizer.convert_tokens_to_ids("<image>")
    config_class: Any = LlavaConfig
    config = config_class(
        vision_config=tower,
        text_config=language,
        image_token_id=image,
        vision_feature_select_strategy="full" if siglip else "default",
    )
    model = LlavaForConditionalGeneration(config)
    for weight in model.parameters():  # attention that looks somewhere, answers that differ
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=1.5 * weight.shape[1] ** -0.5)
    # a tenth of the words end an answer, so that some are short
    ends = torch.randperm(len(tokenizer))[: len(tokenizer) // 10].tolist()
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, *ends]
    model.save_pretrained(folder)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def apiprompt(tmp_path: Path) -> Run:
    """Run the program as a user does, from an empty folder; return the finished process."""

    def run(*arguments: object, status: int = 0, **environment: str) -> Any:
        process = subprocess.run(
            [sys.executable, "-m", "api_cli", *map(str, arguments)],
            cwd=tmp_path,
            env=clean_environment() | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert process.returncode == status, f"{process.returncode}\n{process.stderr}"
        return process

    return run


def clean_environment() -> dict[str, str]:
    """This process's environment without variables of the program, and without a network."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("APIPROMPT_")}
    return inherited | {"HF_HUB_OFFLINE": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}


def write_json_lines(path: Path, rows: Iterable[object]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def faults_of(samples: Iterable[Sample]) -> dict[str, str]:
    """What is wrong with samples, by key, of those that have something wrong."""
    return {sample.key: sample.fault for sample in samples if sample.fault is not None}
