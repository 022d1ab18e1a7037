"""DocVQA and InfographicVQA: questions about what stands in scanned documents and infographics."""

from __future__ import annotations

from pathlib import Path

from datasets_manager.hub import load_copy
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import Listed, register


@register(
    "DocVQA",
    about="DocVQA: 5,349 questions about scanned documents (validation)",
    home="https://www.docvqa.org/datasets/docvqa",
    licence="see its page",
    folder="DocVQA",
    takes=("split",),
    metric="anls",
)
def load_documents(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `DocVQA/`, a copy of the hub's repository, configuration DocVQA."""
    return load_copy(root / "DocVQA", "DocVQA", None, options)


@register(
    "InfoVQA",
    about="InfographicVQA: 2,801 questions about infographics (validation), without their OCR",
    home="https://www.docvqa.org/datasets/infographicvqa",
    licence="see its page",
    aliases=("InfographicVQA",),
    folder="DocVQA",
    takes=("split",),
    metric="anls",
)
def load_infographics(root: Path, options: DatasetOptions) -> Listed:
    """Samples of `DocVQA/`, a copy of the hub's repository, configuration InfographicVQA."""
    return load_copy(root / "DocVQA", "InfoVQA", None, options)
