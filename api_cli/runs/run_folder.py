"""Where results go: names, manifest, error ledger, run record, resume (METHOD.md section 6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from api_cli.errors import RunFolderError
from api_cli.runs.files import remove_leftovers, write_whole
from api_cli.runs.ledger import Ledger, Row
from api_cli.runs.locks import Lock
from api_cli.runs.names import digest_question, safe_name
from api_cli.runs.pictures import FORMATS
from api_cli.runs.sink import Source

MANIFEST = "metadata.jsonl"  # the name Hugging Face's ImageFolder looks for
ERRORS = "errors.jsonl"
RECORD = "run.yaml"


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
        lock = Lock(path / ".lock")
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

    @property
    def title(self) -> str:
        """For messages."""
        return str(self.path)

    def __contains__(self, key: str) -> bool:
        return key in self._manifest

    def __iter__(self) -> Iterator[str]:
        """Keys of finished samples."""
        return iter(self._manifest)

    def source(self, key: str) -> Source | None:
        """What a finished sample was made from; None for one that is not finished."""
        return self._manifest.get(key)

    def save_images(self, key: str, images: Mapping[str, bytes]) -> dict[str, str]:
        """Write a sample's pictures; see `Sink`."""
        names = {}
        for column, image in images.items():
            kind = "" if column == "file_name" else f".{column.removesuffix('_file_name')}"
            names[column] = f"{safe_name(key)}{kind}.{self._extension}"
            write_whole(self.path / names[column], image)
        return names

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

    def close(self) -> None:
        """Nothing is held back: what was handed over is on the disk already."""

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
    manifest: Ledger[None] = Ledger(path / MANIFEST, Lock(path / ".lock"), lambda row: None)
    return {row["key"] for row in manifest.rows() if (path / str(row.get("file_name"))).is_file()}


def _source(row: Row) -> Source:
    question = digest_question(str(row.get("question")), row.get("query"))
    return Source(question, str(row.get("image_sha256")))
