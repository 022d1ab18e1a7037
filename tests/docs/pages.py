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

_MARK = re.compile(r'<!-- skip: next "(.+)" -->')


def read(page: Path, text: str, run: Callable[[Example], None]) -> Document:
    """The examples of a page's text; `run` is given those of a shell."""
    document = Document(text, str(page))
    for parser in (CodeBlockParser("bash", run), PythonCodeBlockParser(), SkipParser()):
        for region in parser(document):
            document.add(region)
    return document


def shown(page: Path) -> int:
    """How many blocks of a page are run, or marked not to be."""
    return len(
        re.findall(r"^ *```(?:bash|python)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    )


def marks(page: Path) -> list[str]:
    """Why blocks of a page are not run, one a block."""
    return _MARK.findall(page.read_text(encoding="utf-8"))
