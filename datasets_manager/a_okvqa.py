"""A-OKVQA: questions about COCO's photographs that take knowledge of the world, four choices."""

from __future__ import annotations

from pathlib import Path

from datasets_manager.hub import load_copy
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import Listed, register


@register(
    "A-OKVQA",
    about="A-OKVQA: 1,145 multiple-choice questions that take knowledge of the world (validation)",
    home="https://allenai.org/project/a-okvqa/home",
    licence="Apache 2.0; images (COCO) under their own terms",
    folder="A-OKVQA",
    takes=("split",),
    metric="letter",
)
def load(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `A-OKVQA/`, a copy of the hub's repository."""
    return load_copy(root / "A-OKVQA", "A-OKVQA", None, options)
