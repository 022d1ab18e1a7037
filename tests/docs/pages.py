"""What pages show, read by sybil: blocks of shell commands and of Python, and marks not to run one.

A block that cannot be run in a test has `<!-- skip: next "why" -->` before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_COMMAND = re.compile(r"(?:^|[;|(]|\bdo) *(?:[A-Z_]+=\S+ )*(?=[a-z])", re.MULTILINE)
_MARK = re.compile(r'<!-- skip: next "(.+)" -->')


def read(page: Path, run: Callable[[Example], None]) -> Document:
    """A page's examples; `run` is given those of a shell."""
    shell = CodeBlockParser("bash", run)
    return Document.parse(str(page), shell, PythonCodeBlockParser(), SkipParser())


def marks(page: Path) -> list[str]:
    """Why blocks of a page are not run, one a block."""
    return _MARK.findall(page.read_text(encoding="utf-8"))
