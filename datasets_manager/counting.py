"""The counting set: 300 crowded scenes that travel with the package, to compare answers on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager import image_folder
from datasets_manager.base import Note, Sample
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register

FOLDER = Path(__file__).parent / "counting_data"


@register(
    "counting",
    about="300 crowded drawn scenes, how many there are of one thing; travels with the program",
    home="https://github.com/googlefonts/noto-emoji",
    licence="SIL Open Font License 1.1 (Noto Color Emoji)",
    metric="exact",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample | Note]:
    """Samples of the packaged folder, wherever the data root is.

    Half of the answers are "one", the others "two" to "four"; things of the same kind in other
    colours, which do not count, are beside many of them. `experiments/demo/make_counting.py`
    has made it.
    """
    yield from image_folder.load(FOLDER, DatasetOptions())
