"""What a run must know of a model before it is loaded, remembered so that it need not be found.

Finding a checkpoint imports open_clip and reads its weights for their digest: seconds. The cards
of models seen before lie beside the kept maps, each good for as long as its weights file has not
changed; the weights' digest is taken again when they are loaded, see `assembly.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.runs.files import remove_leftovers, write_whole
from api_cli.runs.locks import Lock

_CARDS = "models.json"


class ModelCard(NamedTuple):
    """What determines folders' names and maps' identity.

    Attributes:
        short_name: the model's name as part of a folder's name.
        weights: digest of its weights file.
        number_of_layers: layers that can be read.
        grid: rows and columns of the patch grid.
        default_layer: read where nobody says otherwise; negative counts from the end.
        precision: of the forward pass where nobody says otherwise.
        readable_layers: those of the layers whose maps can be had.
    """

    short_name: str
    weights: str
    number_of_layers: int
    grid: tuple[int, int]
    default_layer: int
    precision: str
    readable_layers: tuple[int, ...]


def recall(folder: Path, words: Sequence[str]) -> ModelCard | None:
    """The card of a model seen before, if its weights' files are as they were then.

    Args:
        folder: of the kept maps.
        words: what the model was asked for with: method, name, and the like.
    """
    remove_leftovers(folder)
    entry = _read(folder).get(_name(words))
    try:
        if entry is None or not all(file == _stamp(Path(file[0])) for file in entry["files"]):
            return None
        card = ModelCard(**{name: entry[name] for name in ModelCard._fields})
        rows, columns = card.grid
        layers = tuple(card.readable_layers)
        card = card._replace(grid=(rows, columns), readable_layers=layers)
    except (OSError, LookupError, TypeError, ValueError):
        return None
    texts = (card.short_name, card.weights, card.precision)
    numbers = (card.number_of_layers, card.default_layer, rows, columns, *layers)
    whole = all(type(t) is str for t in texts) and all(type(n) is int for n in numbers)
    return card if whole else None


def remember(
    folder: Path, words: Sequence[str], card: ModelCard, weights_files: Sequence[Path]
) -> None:
    """Keep a model's card. Raises OSError where it cannot be kept."""
    entry = card._asdict() | {"files": [_stamp(file) for file in weights_files]}
    _change(folder, lambda cards: cards | {_name(words): entry})


def forget(folder: Path, words: Sequence[str]) -> None:
    """Drop a model's card, if there is one. Raises OSError where it cannot be dropped."""
    name = _name(words)
    _change(folder, lambda cards: {other: card for other, card in cards.items() if other != name})


def _change(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with Lock(folder / ".lock"):
        cards = change(_read(folder))
        write_whole(folder / _CARDS, json.dumps(cards, indent=2).encode())


def _read(folder: Path) -> dict[str, Any]:
    try:
        cards = json.loads((folder / _CARDS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return cards if isinstance(cards, dict) else {}


def _name(words: Sequence[str]) -> str:
    """The words as one, paths made absolute, since the next run may start elsewhere."""
    return " ".join(str(Path(word).resolve()) if Path(word).exists() else word for word in words)


def _stamp(file: Path) -> list[Any]:
    """What changes with a file's content; its size and mtime alone can be made to stay."""
    status = file.stat()
    changes = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return [str(file.resolve()), *changes]
