"""What lies in an image folder: its pictures in order, and in words what was left out.

Every suffix that Pillow opens here is a picture's. Hidden files and folders are no samples, nor is
what this program has made. Links to folders are followed, each folder being entered once, by its
own path where it has one below the root.
"""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from datasets_manager.base import DatasetError

_IDENTIFIED_ONLY = {"BUFR", "GRIB", "HDF5", "MPEG"}  # Pillow names these and decodes none
_OPENED_AS_OTHERS = {".mpo"}  # two JPEGs of a stereo camera
_OWN_FOLDER = re.compile(r"(API[A-Z][A-Za-z0-9]*_.+_.+|PLAIN_.+)")
_OWN_RECORD = "run.yaml"
_THERE_ALREADY = "link to a folder that is there already|links to folders that are there already"
_UNREADABLE = "folder that cannot be read|folders that cannot be read"
_OWN = "folder of this program's results|folders of this program's results"
_UNKNOWN = "file of unknown kind|files of unknown kind"
_NUMBERS = re.compile(r"(\d+)")
MASKED = "masked"
"""What stands behind the name of a picture in that of a result that is written beside it."""
_RESULT = re.compile(rf"(.+)\.{MASKED}(?:\.[^/]+)?\.[^./]+", re.DOTALL)
_MASKED_BESIDE = "result of this program beside its picture|results of this program beside pictures"
_SHOWN = 5  # names or suffixes in a note, at most


@cache
def picture_suffixes() -> frozenset[str]:
    """Suffixes in lower case of the pictures that Pillow opens on this machine."""
    from PIL import Image

    Image.init()
    opened = Image.OPEN.keys() - _IDENTIFIED_ONLY
    kinds = Image.registered_extensions().items()
    return frozenset({suffix for suffix, kind in kinds if kind in opened} | _OPENED_AS_OTHERS)


def is_picture(name: str) -> bool:
    """Whether a file's name ends as a picture's does."""
    return os.path.splitext(name)[1].lower() in picture_suffixes()  # noqa: PTH122, quicker


def stem_of(name: str) -> str:
    """A file's name, or path, without its suffix."""
    return os.path.splitext(name)[0]  # noqa: PTH122, quicker


def masked_of(name: str) -> str | None:
    """The picture, with or without suffix, beside which a name says that it was made; or None."""
    match = _RESULT.fullmatch(name)
    return None if match is None else match[1]


Words = list[str | int]


def natural_order(name: str) -> list[tuple[Words, Words, str]]:
    """What to sort paths by, so that `img2` comes before `img10`; no two paths are alike in it."""
    split = (os.path.splitext(part) for part in name.split("/"))  # noqa: PTH122, quicker
    return [(_words(stem), _words(suffix), stem + suffix) for stem, suffix in split]


def _words(text: str) -> Words:
    """Text and numbers by turns."""
    return [int(w) if i % 2 else w for i, w in enumerate(_NUMBERS.split(text))]


def printable(text: str) -> str:
    """A file's name as text in Unicode: bytes of another encoding are written out."""
    return text if text.isascii() else os.fsencode(text).decode("utf-8", "backslashreplace")


@dataclass
class Found:
    """What a folder holds; names are paths relative to it, with `/`.

    Attributes:
        pictures: names, in natural order.
        texts: names of `.txt` files.
        left_out: names of what is neither, by what it is.
    """

    pictures: list[str] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def notes(self) -> Iterator[str]:
        """A sentence on what was left out, where anything was."""
        if self.left_out:
            kinds = (f"{len(names)} {kind} ({_some(names)})" for kind, names in self.counted())
            yield f"left out: {', '.join(kinds)}"

    def counted(self) -> Iterator[tuple[str, list[str]]]:
        """What was left out, by what it is, in words for one or several."""
        for kind, names in self.left_out.items():
            one, several = kind.split("|")
            yield (one if len(names) == 1 else several), names

    def leave_out(self, kind: str, name: str) -> None:
        """Count something that is no sample; its kind in words for one, `|`, and for several."""
        self.left_out.setdefault(kind, []).append(printable(name))


def find_pictures(root: Path) -> Found:
    """The pictures and texts below a folder.

    Raises:
        DatasetError: where the folder is missing or cannot be read.
    """
    found = Found()
    entered: set[tuple[int, int]] = set()
    folders, links = [""], deque[str]()  # names as in `Found`, but with `/` at their ends
    while folders or links:  # links last, so that a folder keeps its own path
        folder = folders.pop() if folders else links.popleft()
        try:
            status = (root / folder).stat()
            if (status.st_dev, status.st_ino) in entered:
                found.leave_out(_THERE_ALREADY, folder[:-1])
                continue
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(root / folder) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise DatasetError(f"{root} cannot be read: {error}; pass --data-root") from error
            found.leave_out(_UNREADABLE, folder[:-1])
            continue
        for entry in inside:
            name, kind = folder + entry.name, _kind(entry)
            suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122, quicker
            if entry.name.startswith("."):
                found.leave_out(f"hidden {kind}|hidden {kind}s", name)
            elif kind == "folder" and is_own(root / name):
                found.leave_out(_OWN, name)
            elif kind == "folder":
                (links if entry.is_symlink() else folders).append(f"{name}/")
            elif kind == "device":
                found.leave_out("pipe or device|pipes or devices", name)
            elif suffix in picture_suffixes():
                found.pictures.append(name)
            elif suffix == ".txt":
                found.texts.add(name)
            else:
                found.leave_out(_UNKNOWN, suffix or entry.name)
    found.pictures = sorted(_without_results(found), key=natural_order)
    return found


def _without_results(found: Found) -> list[str]:
    """The pictures but those that were made of others, beside them; these are noted."""
    if not any(f".{MASKED}." in name for name in found.pictures):
        return found.pictures
    names = {*found.pictures, *map(stem_of, found.pictures)}
    own = {name for name in found.pictures if masked_of(name) in names}
    for name in sorted(own):
        found.leave_out(_MASKED_BESIDE, name)
    return [name for name in found.pictures if name not in own]


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        if entry.is_dir():
            return "folder"
        if not entry.is_file():
            entry.stat()
            return "device"
    except OSError:  # a link that leads nowhere: one sample that fails when it is read
        pass
    return "file"


def is_own(folder: Path) -> bool:
    """Whether a folder is one of this program's results, by its name or by its record."""
    if _OWN_FOLDER.fullmatch(folder.name):
        return True
    try:
        lines = (folder / _OWN_RECORD).read_bytes().splitlines()
    except OSError:
        return False
    return b"settings:" in lines and any(line.startswith(b"config:") for line in lines)


def _some(names: Iterable[str]) -> str:
    """The commonest of some names, and how many others there are."""
    counts = Counter(names)
    some = [name for name, _ in counts.most_common(_SHOWN)]
    others = [f"and {len(counts) - _SHOWN} others"] if len(counts) > _SHOWN else []
    return ", ".join(some + others)
