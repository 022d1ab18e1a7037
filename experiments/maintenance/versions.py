"""`python -m experiments.maintenance.versions [lowest|newest]`: the suite at both ends of versions.

Each end gets an environment of its own, `.venv-lowest` with the lowest versions that pyproject.toml
admits of the direct dependencies, `.venv-newest` with the newest of all; uv puts them together.
Other arguments go to pytest.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESOLUTION = {"lowest": "lowest-direct", "newest": "highest"}
SHOWN = ("torch", "torchvision", "transformers", "datasets", "open_clip_torch", "numpy", "pillow")


def main(arguments: list[str]) -> int:
    """Exit status of the first suite that fails, else 0."""
    ends = [name for name in RESOLUTION if name in arguments] or list(RESOLUTION)
    options = [argument for argument in arguments if argument not in RESOLUTION]
    for end in ends:
        python = _environment(end)
        versions = "; ".join(f"{name} {_version(python, name)}" for name in SHOWN)
        print(f"{end}: {versions}", flush=True)
        status = subprocess.run([python, "-m", "pytest", *options], cwd=ROOT, check=False)
        if status.returncode:
            return status.returncode
    return 0


def _environment(end: str) -> Path:
    folder = ROOT / f".venv-{end}"
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    if not python.exists():
        subprocess.run(
            [*uv, "venv", "--quiet", "--seed", "--python", sys.executable, folder], check=True
        )
    install = ["pip", "install", "--quiet", "--python", str(python), "--upgrade"]
    install += ["--resolution", RESOLUTION[end], "--editable", f"{ROOT}[test]"]
    subprocess.run([*uv, *install], check=True)
    return python


def _version(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    process = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return process.stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
