"""MME-RealWorld-Lite: questions about large photographs, charts, maps and traffic, five options."""

from __future__ import annotations

from pathlib import Path

from datasets_manager.hub import load_copy
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import Listed, register


@register(
    "MME-RealWorld-Lite",
    about="MME-RealWorld-Lite: 1,919 multiple-choice questions about large pictures of daily life",
    home="https://huggingface.co/datasets/yifanzhang114/MME-RealWorld-lite-lmms-eval",
    licence="see its page; images under their own terms",
    folder="MME-RealWorld-Lite",
    takes=("split",),
    metric="letter",
)
def load(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `MME-RealWorld-Lite/`, a copy of the hub's repository for lmms-eval."""
    return load_copy(root / "MME-RealWorld-Lite", "MME-RealWorld-Lite", None, options)
