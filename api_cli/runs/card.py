"""The dataset card of a run folder: README.md, by which `datasets` and the hub show it whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from api_cli.masking.renderings import RENDERINGS
from api_cli.runs.files import write_whole

CARD = "README.md"
_MADE = "<!-- made by apiprompt, and made anew by each run as long as this line stands -->"

_IMAGE_FOLDER = """\
    datasets.load_dataset("imagefolder", data_dir=".")   # as does load_dataset("."), or the hub

`metadata.jsonl` has a row an image. Its columns are those of the dataset beside the program's own;
a name that was taken got `dataset_` before it. Where a column held values of several kinds, it
holds text, and what was no text is written as JSON."""


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
    files = ["metadata.jsonl", *(f"*.{ending}" for ending in sorted(endings))]
    content = card_content(settings, _features(columns), files, _IMAGE_FOLDER)
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        there = None
    if there is None or may_replace(there, content):
        write_whole(path, content)


def may_replace(there: bytes, content: bytes) -> bool:
    """Whether a card is one that this program has made, and differs."""
    return _MADE.encode() in there and there != content


def card_content(
    settings: Mapping[str, Any],
    features: Sequence[Mapping[str, Any]],
    data_files: Sequence[str],
    opening: str,
) -> bytes:
    """What a card says.

    Args:
        settings: that determine the pictures.
        features: of the rows, as `datasets` writes them into cards; none where not yet known.
        data_files: patterns of the files that hold the rows, and of pictures beside them.
        opening: how to open the folder, and what is in it: ends the card.
    """
    head: dict[str, Any] = {
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": "train", "path": list(data_files)}],
            }
        ],
        "tags": ["apiprompt", "visual-prompting"],
    }
    if features:
        head["dataset_info"] = {"features": list(features)}
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

{opening}
""".encode()


def _inline(value: object) -> str:
    return str(value).encode("ascii", "backslashreplace").decode().replace("\n", " ")


def _features(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name.removesuffix("_file_name"), "dtype": "image"}
        if name.endswith("_file_name")
        else {"name": "image", "dtype": "image"}
        if name == "file_name"
        else {"name": name, **feature(kind)}
        for name, kind in columns.items()
    ]


def feature(kind: Any) -> dict[str, Any]:
    """A type of `Columns.describe` as `datasets` writes it into a card."""
    if isinstance(kind, dict):
        return {"struct": [{"name": name, **feature(inner)} for name, inner in kind.items()]}
    if isinstance(kind, list):
        inner = feature(kind[0])
        return {"list": inner.get("dtype") or inner.get("struct") or inner}
    return {"dtype": kind}
