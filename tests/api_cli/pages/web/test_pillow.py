"""Gradio holds Pillow below 13: pictures are the same with either, to one grey level."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import clean_environment

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process]

OTHER = os.environ.get("OTHER_PYTHON", "")
RENDERINGS = "fade,blur,black,outline,crop,warp,heat"


@pytest.mark.skipif(not OTHER, reason="OTHER_PYTHON names no interpreter with another Pillow")
def test_pictures_are_the_same_with_either_pillow(tmp_path):
    versions = set()
    for number, python in enumerate((sys.executable, OTHER)):
        words = [python, "-c", "import PIL; print(PIL.__version__)"]
        versions.add(subprocess.check_output(words, text=True).split(".")[0])
        command = [python, "-m", "api_cli", "clip", "--range", "0", "6", "--format", "png"]
        command += ["--render", RENDERINGS, "--output-folder", str(tmp_path / str(number))]
        subprocess.run(command, env=clean_environment(), check=True, timeout=300)
    assert len(versions) == 2, "both have the same Pillow"
    ours, theirs = (sorted((tmp_path / name).rglob("*.png")) for name in ("0", "1"))
    assert len(ours) == len(theirs) == 6 * 7
    for one, other in zip(ours, theirs, strict=True):
        difference = np.asarray(Image.open(one), int) - np.asarray(Image.open(other), int)
        assert np.abs(difference).max() <= 1, Path(*one.parts[-3:])
