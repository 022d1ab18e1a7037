"""The demo set: 64 drawn scenes that travel with the package; nothing to download."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager import image_folder
from datasets_manager.base import Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register

FOLDER = Path(__file__).parent / "demo_data"


@register(
    "demo",
    about="64 drawn scenes with questions, answers and boxes; travels with the program",
    home="https://github.com/googlefonts/noto-emoji",
    licence="SIL Open Font License 1.1 (Noto Color Emoji)",
    metric="exact",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of the packaged folder, wherever the data root is."""
    yield from image_folder.load(FOLDER, DatasetOptions())
