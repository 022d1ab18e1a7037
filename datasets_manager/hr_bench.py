"""HR-Bench: questions about details of photographs of 4,000 and 8,000 pixels."""

from __future__ import annotations

from pathlib import Path

from datasets_manager.hub import load_copy
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import Listed, register

_HOME = "https://huggingface.co/datasets/DreamMr/HR-Bench"
_LICENCE = "see its page; images under their own terms"


@register(
    "HR-Bench-4K",
    about="HR-Bench 4K: 800 questions (200, options in four orders) about photographs of 4K",
    home=_HOME,
    licence=_LICENCE,
    aliases=("hrbench4k", "hrbench"),
    folder="HR-Bench",
    takes=("split",),
    metric="letter",
)
def load_4k(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `HR-Bench/`, a copy of the hub's repository; pictures are base64 in a column."""
    return load_copy(root / "HR-Bench", "HR-Bench-4K", None, options)


@register(
    "HR-Bench-8K",
    about="HR-Bench 8K: 800 questions (200, options in four orders) about photographs of 8K",
    home=_HOME,
    licence=_LICENCE,
    aliases=("hrbench8k",),
    folder="HR-Bench",
    takes=("split",),
    metric="letter",
)
def load_8k(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `HR-Bench/`, a copy of the hub's repository; pictures are base64 in a column."""
    return load_copy(root / "HR-Bench", "HR-Bench-8K", None, options)
