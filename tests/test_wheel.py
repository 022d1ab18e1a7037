"""The wheel: everything that running needs travels in it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import clean_environment

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_wheel_makes_the_same_pictures_from_an_empty_folder(apiprompt, tmp_path):
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", ROOT)
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert not [name for name in names if name.startswith(("tests", "experiments", "configs"))]
    assert {f"api_cli/pages/show/page.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert wheel.stat().st_size < 30_000_000

    empty = tmp_path / "empty"
    empty.mkdir()
    environment = clean_environment() | {"PYTHONPATH": str(tmp_path / "site")}
    flags = ("--range", "0", "8", "--format", "png", "--batch-size", "8")

    def run(*arguments: str) -> str:
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return process.stdout.strip()

    where = run("-c", "import api_cli, datasets_manager as d; print(api_cli.__file__, d.__file__)")
    assert all(path.startswith(str(tmp_path / "site")) for path in where.split())
    assert "mm" in run("-m", "api_cli", "clip", "--config", "mmvet", "--print-config")
    for method in ("clip", "llava"):
        from_wheel = empty / run("-m", "api_cli", method, *flags)
        from_checkout = tmp_path / apiprompt(method, *flags).stdout.strip()
        pictures = sorted(path.name for path in from_wheel.glob("*.png"))
        assert len(pictures) == 8
        for name in pictures:
            assert (from_wheel / name).read_bytes() == (from_checkout / name).read_bytes()
