"""Where results go: names, manifest, error ledger, run record, resume (METHOD.md section 6)."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from filelock import FileLock

from api_cli.errors import RunFolderError
from api_cli.ledger import Ledger, Row, remove_leftovers, write_whole

MANIFEST = "metadata.jsonl"  # the name Hugging Face's ImageFolder looks for
ERRORS = "errors.jsonl"
RECORD = "run.yaml"
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}

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


class Source(NamedTuple):
    """What a masked image was made from.

    Attributes:
        question: SHA-256 of the question, and of what the model was asked, 16 hex digits.
        image: SHA-256 of the encoded picture, 64 hex digits.
    """

    question: str
    image: str


class RunFolder:
    """The results of one setting.

    Args:
        path: the folder; made if need be.
        settings: everything that determines the pictures; a folder with other settings is
            refused.
        record: what else `run.yaml` should say, such as the resolved configuration.
        image_format: a key of `FORMATS`.
        overwrite: delete what an earlier run left there first.

    Raises:
        RunFolderError: where the folder holds results of other settings.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        record: Mapping[str, Any],
        *,
        image_format: str,
        overwrite: bool = False,
    ) -> None:
        self.path = path
        self._extension = image_format
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / ".lock")
        with lock:
            if overwrite:
                self._clear()
            self._claim(dict(settings), record)
            remove_leftovers(path)
            present = {entry.name for entry in path.iterdir()}
            self._manifest = Ledger(path / MANIFEST, lock, _source)
            self._manifest.load(lambda row: row.get("file_name") in present)
            self._errors = Ledger(path / ERRORS, lock, lambda row: None)
            self._errors.load(lambda row: row["key"] not in self._manifest)

    def __contains__(self, key: str) -> bool:
        return key in self._manifest

    def __iter__(self) -> Iterator[str]:
        """Keys of finished samples."""
        return iter(self._manifest)

    def source(self, key: str) -> Source | None:
        """What a finished sample was made from; None for one that is not finished."""
        return self._manifest.get(key)

    def save_image(self, key: str, image: bytes) -> str:
        """Write a sample's masked image, an encoded picture, and return its file name."""
        file_name = f"{safe_name(key)}.{self._extension}"
        write_whole(self.path / file_name, image)
        return file_name

    def save_beside(self, key: str, suffix: str, content: bytes) -> None:
        """Write a file that belongs to a sample, such as its relevance map, beside its image."""
        write_whole(self.path / f"{safe_name(key)}{suffix}", content)

    def has_beside(self, key: str, suffix: str) -> bool:
        """Whether a sample has such a file."""
        return (self.path / f"{safe_name(key)}{suffix}").exists()

    def add(self, row: Row) -> None:
        """Enter a finished sample, whose image is written, into the manifest.

        Args:
            row: `file_name` first, `key`, `question` and `image_sha256` among the rest.
        """
        self._manifest.append(row)
        self._errors.remove(row["key"])

    def fail(self, row: Row) -> None:
        """Note that a sample failed: key, index, stage, error. A later run tries it again."""
        self._errors.remove(row["key"])
        self._errors.append(row)

    def _claim(self, settings: dict[str, Any], record: Mapping[str, Any]) -> None:
        """Write run.yaml, or compare with the one that is there."""
        path = self.path / RECORD
        if not path.exists():
            if (self.path / MANIFEST).exists():
                raise RunFolderError(
                    f"{self.path} has a manifest but no run.yaml, so what it holds is not known; "
                    "use --overwrite to start it afresh, or another --output-folder"
                )
            content = yaml.safe_dump({**record, "settings": settings}, sort_keys=False)
            write_whole(path, content.encode())
            return
        try:
            there = yaml.safe_load(path.read_text(encoding="utf-8"))["settings"]
        except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
            raise RunFolderError(
                f"{path} is not a record of a run; use --overwrite to start the folder afresh, "
                "or another --output-folder"
            ) from error
        differing = [
            f"{name} is {settings.get(name)!r}, was {there.get(name)!r}"
            for name in {**there, **settings}
            if settings.get(name) != there.get(name)
        ]
        if differing:
            raise RunFolderError(
                f"{self.path} holds results of other settings: {'; '.join(differing)}. "
                "Use another --output-folder, or --overwrite to replace them"
            )

    def _clear(self) -> None:
        """Delete what runs write; anything else in the folder stays."""
        for entry in self.path.iterdir():
            ours = entry.name in (MANIFEST, ERRORS, RECORD) or entry.suffix == ".npy"
            if entry.is_file() and (ours or entry.suffix.lstrip(".") in FORMATS):
                entry.unlink()


def finished_keys(path: Path) -> set[str]:
    """Keys of a run folder's finished samples, without touching the folder or needing one."""
    manifest: Ledger[None] = Ledger(path / MANIFEST, FileLock(path / ".lock"), lambda row: None)
    return {row["key"] for row in manifest.rows() if (path / str(row.get("file_name"))).is_file()}


def digest_text(text: str) -> str:
    """16 hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def digest_question(question: str, query: str | None) -> str:
    """`digest_text` of a question, and of what the model was asked instead where it was."""
    return digest_text(question if query is None else f"{question}\n{query}")


def _source(row: Row) -> Source:
    question = digest_question(str(row.get("question")), row.get("query"))
    return Source(question, str(row.get("image_sha256")))
