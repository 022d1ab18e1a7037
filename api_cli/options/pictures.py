"""Pictures named on the command line in place of a dataset: what goes with them, and what not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from api_cli.errors import UsageError
from api_cli.options.data import DataConfig

_OF_DATASETS = {f.name for f in fields(DataConfig)} - {"question"}
_OF_RUNS = {"output_folder", "shuffle_masks", "verify", "shard"}


def check_pictures(given: Collection[Any], question: str | None, flags: Mapping[str, Any]) -> None:
    """Raise UsageError where what was said on the command line does not go together.

    What the environment or a configuration says of datasets is passed over, since one environment
    and one preset serve both.

    Args:
        given: the pictures.
        question: about them.
        flags: values by field; None where not given.
    """
    if not given:
        if flags.get("output") is not None:
            raise UsageError(
                "--output is for pictures named on the command line (apiprompt clip photo.jpg); "
                "a dataset's go to run folders in --output-folder"
            )
        return
    for name in flags:
        if flags[name] is not None and name in _OF_DATASETS | _OF_RUNS:
            way_out = "say where with --output" if name == "output_folder" else "leave it out"
            raise UsageError(
                f"--{name.replace('_', '-')} does not go with pictures named on the command line; "
                f"{way_out}, or use --dataset imagefolder --data-root DIR"
            )
    if question is None:
        raise UsageError("--question: say what is asked about the pictures")
