"""A run folder's `run.yaml`: which settings its pictures are of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from api_cli.errors import RunFolderError
from api_cli.runs.files import write_whole
from api_cli.runs.settings import LATER

RECORD = "run.yaml"


def write_record(folder: Path, settings: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Say what a folder's pictures are of.

    Args:
        folder: the run folder.
        settings: everything that determines the pictures.
        record: what else is of interest.
    """
    write_whole(folder / RECORD, record_content(settings, record))


def record_content(settings: Mapping[str, Any], record: Mapping[str, Any]) -> bytes:
    """What a run.yaml says; see `write_record`."""
    return yaml.safe_dump({**record, "settings": dict(settings)}, sort_keys=False).encode()


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise RunFolderError where a folder's run.yaml is of other settings, or no record."""
    read_record((folder / RECORD).read_bytes(), str(folder), settings)


def read_record(content: bytes, folder: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a run.yaml says, if it is of these settings.

    Settings that it lacks, since it is older than they are, are as by default.

    Args:
        content: of the file.
        folder: that it is of, for messages.
        settings: that the folder should be of.

    Raises:
        RunFolderError: where it is of other settings, or no record.
    """
    try:
        record = yaml.safe_load(content.decode())
        there = dict(record["settings"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunFolderError(
            f"{folder}/{RECORD} is not a record of a run; use --overwrite to start the folder "
            "afresh, or another --output-folder"
        ) from error
    there = {name: value for name, value in LATER.items() if name in settings} | there
    if differing := differences(there, settings):
        raise RunFolderError(
            f"{folder} holds results of other settings: {differing}. "
            "Use another --output-folder, or --overwrite to replace them"
        )
    return dict(record)


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """What is wanted otherwise than it is there, in words; empty where nothing is."""
    return "; ".join(
        f"{name} is {wanted.get(name)!r}, was {there.get(name)!r}"
        for name in {**there, **wanted}
        if wanted.get(name) != there.get(name)
    )


def recorded_format(folder: Path) -> str | None:
    """The pictures' ending in a folder; None where nothing says so."""
    try:
        record = yaml.safe_load((folder / RECORD).read_text(encoding="utf-8"))
        return str(record["settings"]["format"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return None
