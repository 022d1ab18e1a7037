"""What the program makes on a GPU is what it makes on a CPU; skipped where there is no GPU."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.conftest import clean_environment

FIRST = {"CUDA_VISIBLE_DEVICES": "0"}
ASK = "import sys, torch; sys.exit(not torch.cuda.is_available())"


@pytest.fixture(scope="module", autouse=True)
def _gpu() -> None:
    # a process of its own, since this one has been told that there is none
    command = [sys.executable, "-c", ASK]
    there = shutil.which("nvidia-smi") is not None and not subprocess.call(
        command, env=clean_environment() | FIRST
    )
    if not there:
        pytest.skip("no GPU")


@pytest.mark.process
@pytest.mark.parametrize("method", ["clip", "llava"])
def test_pictures_are_within_a_grey_level_of_the_cpus(method, apiprompt, tmp_path):
    flags = ("--dataset", "demo", "--model-name", "demo", "--range", 0, 16, "--format", "png")
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        apiprompt(method, *flags, "--device", device, "--output-folder", out, **FIRST)
    pictures = sorted(path.relative_to(tmp_path / "cpu") for path in tmp_path.glob("cpu/*/*/*.png"))
    assert len(pictures) == 16
    for picture in pictures:
        one, other = (
            np.asarray(Image.open(tmp_path / device / picture)).astype(int)
            for device in ("cpu", "cuda")
        )
        assert np.abs(one - other).max() <= 1, picture
