"""What a run must know of a model before it is loaded, remembered so that it need not be found.

Finding a checkpoint imports open_clip and reads its weights for their digest: seconds. The cards
of models seen before lie beside the kept maps, each good for as long as its weights file has not
changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.ledger import write_whole

_CARDS = "models.json"


class ModelCard(NamedTuple):
    """What determines folders' names and maps' identity.

    Attributes:
        short_name: the model's name as part of a folder's name.
        weights: digest of its weights file.
        number_of_layers: layers that can be read.
        grid: rows and columns of the patch grid.
    """

    short_name: str
    weights: str
    number_of_layers: int
    grid: tuple[int, int]


def recall(folder: Path, model_name: str, pretrained: str | None) -> ModelCard | None:
    """The card of a model seen before, if its weights file is as it was then."""
    entry = _read(folder).get(_name(model_name, pretrained))
    try:
        if entry is None or entry["file"] != _stamp(Path(entry["file"][0])):
            return None
        rows, columns = entry["grid"]
        return ModelCard(
            entry["short_name"], entry["weights"], entry["number_of_layers"], (rows, columns)
        )
    except (OSError, KeyError, TypeError, ValueError, IndexError):
        return None


def remember(
    folder: Path, model_name: str, pretrained: str | None, card: ModelCard, weights_file: Path
) -> None:
    """Keep a model's card."""
    folder.mkdir(parents=True, exist_ok=True)
    entry = card._asdict() | {"file": _stamp(weights_file)}
    cards = _read(folder) | {_name(model_name, pretrained): entry}
    write_whole(folder / _CARDS, json.dumps(cards, indent=2).encode())


def _read(folder: Path) -> dict[str, Any]:
    try:
        cards = json.loads((folder / _CARDS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cards if isinstance(cards, dict) else {}


def _name(model_name: str, pretrained: str | None) -> str:
    """The model's name, paths made absolute, since the next run may start elsewhere."""
    words = [model_name] if pretrained is None else [model_name, pretrained]
    return " ".join(str(Path(word).resolve()) if Path(word).exists() else word for word in words)


def _stamp(file: Path) -> list[Any]:
    status = file.stat()
    return [str(file.resolve()), status.st_size, status.st_mtime_ns]
