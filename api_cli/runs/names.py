"""Names of files and digests of texts: keys come from data and become files' names."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_ESCAPED = re.compile(r".*~[0-9a-f]{16}")
_MAX_BYTES = 150  # of a name; file systems take 255, and other tools add to names


def safe_name(name: str) -> str:
    """A name that is one file's on every system and leads nowhere else.

    Harmless names stay as they are. In others (separators, control and reserved characters,
    device names, leading dots, surrounding spaces, too long, not in Unicode's normal form) what
    harms is replaced and 64 bits of the name's SHA-256 follow, so that two names stay two.
    """
    harmless = "".join(_harmless(c) for c in unicodedata.normalize("NFC", name)).strip(" .")
    if (
        harmless == name
        and name
        and len(name.encode()) <= _MAX_BYTES
        and not _RESERVED.fullmatch(name)
        and not _ESCAPED.fullmatch(name)
    ):
        return name
    head = harmless.encode()[: _MAX_BYTES - 17].decode(errors="ignore")
    return f"{head}~{digest_text(name)}"


def _harmless(c: str) -> str:
    return "_" if c in '/\\:*?"<>|' or unicodedata.category(c)[0] == "C" else c


def digest_text(text: str) -> str:
    """16 hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def digest_question(question: str, query: str | None) -> str:
    """`digest_text` of a question, and of what the model was asked instead where it was."""
    return digest_text(question if query is None else f"{question}\n{query}")
