"""The dataset card of a run folder: README.md, by which `datasets` and the hub show it whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from api_cli.masking.renderings import RENDERINGS
from api_cli.runs.files import write_whole

CARD = "README.md"
_MADE = "<!-- made by apiprompt, and made anew by each run as long as this line stands -->"


def write_card(
    folder: Path, settings: Mapping[str, Any], columns: Mapping[str, Any], endings: Iterable[str]
) -> None:
    """Write the card where there is none, or one that this function wrote and that differs.

    Args:
        folder: the run folder.
        settings: that determine the pictures.
        columns: of the manifest, as `Columns.describe` gives them.
        endings: of the pictures that there are.
    """
    path = folder / CARD
    content = _card(settings, columns, endings).encode()
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        there = None
    if there is None or (_MADE.encode() in there and there != content):
        write_whole(path, content)


def _card(settings: Mapping[str, Any], columns: Mapping[str, Any], endings: Iterable[str]) -> str:
    pictures = [f"*.{ending}" for ending in sorted(endings)]
    head: dict[str, Any] = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": ["metadata.jsonl", *pictures]},
                ],
            }
        ],
        "tags": ["apiprompt", "visual-prompting"],
    }
    if columns:
        head["dataset_info"] = {"features": _features(columns)}
    front = yaml.safe_dump(head, sort_keys=False, width=10_000, default_flow_style=None)
    made = "\n".join(f"- {name}: {_inline(value)}" for name, value in settings.items())
    about = RENDERINGS[settings.get("render", "fade")].about
    return f"""---
{front}---
{_MADE}

# Masked images of {_inline(settings.get("dataset", "a dataset"))}

Attention prompting on images, for each image's own question: {about}. Made by
`apiprompt` in these settings (`run.yaml` has all of them, and the versions):

{made}

    datasets.load_dataset("imagefolder", data_dir=".")   # as does load_dataset("."), or the hub

`metadata.jsonl` has a row an image. Its columns are those of the dataset beside the program's own;
a name that was taken got `dataset_` before it. Where a column held values of several kinds, it
holds text, and what was no text is written as JSON.
"""


def _inline(value: object) -> str:
    return str(value).encode("ascii", "backslashreplace").decode().replace("\n", " ")


def _features(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name.removesuffix("_file_name"), "dtype": "image"}
        if name.endswith("_file_name")
        else {"name": "image", "dtype": "image"}
        if name == "file_name"
        else {"name": name, **_feature(kind)}
        for name, kind in columns.items()
    ]


def _feature(kind: Any) -> dict[str, Any]:
    """A type of `Columns.describe` as `datasets` writes it into a card."""
    if isinstance(kind, dict):
        return {"struct": [{"name": name, **_feature(inner)} for name, inner in kind.items()]}
    if isinstance(kind, list):
        inner = _feature(kind[0])
        return {"list": inner.get("dtype") or inner.get("struct") or inner}
    return {"dtype": kind}
