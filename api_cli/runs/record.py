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
    content = yaml.safe_dump({**record, "settings": dict(settings)}, sort_keys=False)
    write_whole(folder / RECORD, content.encode())


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise RunFolderError where a folder's run.yaml is of other settings, or no record.

    Settings that it lacks, since it is older than they are, are as by default.
    """
    path = folder / RECORD
    try:
        there = dict(yaml.safe_load(path.read_text(encoding="utf-8"))["settings"])
        names = [*{**there, **settings}]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RunFolderError(
            f"{path} is not a record of a run; use --overwrite to start the folder afresh, "
            "or another --output-folder"
        ) from error
    there = {name: value for name, value in LATER.items() if name in settings} | there
    differing = [
        f"{name} is {settings.get(name)!r}, was {there.get(name)!r}"
        for name in names
        if settings.get(name) != there.get(name)
    ]
    if differing:
        raise RunFolderError(
            f"{folder} holds results of other settings: {'; '.join(differing)}. "
            "Use another --output-folder, or --overwrite to replace them"
        )


def recorded_format(folder: Path) -> str | None:
    """The pictures' ending in a folder; None where nothing says so."""
    try:
        record = yaml.safe_load((folder / RECORD).read_text(encoding="utf-8"))
        return str(record["settings"]["format"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return None
