"""Which answers are meant: of folders that a user names, those of a model and a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from api_cli.asking.answers import RECORD, answers_folders, read_record
from api_cli.errors import UsageError

PLAIN = "PLAIN_"  # how a folder of originals begins


def find_answers(folders: Sequence[Path], model: str | None, prompt: str | None) -> list[Path]:
    """Folders of answers, each once, in the order of the folders that were named.

    Args:
        folders: folders of answers, run folders, or folders that hold such somewhere.
        model: take its answers alone.
        prompt: as it was named when it was asked; take answers to it alone.

    Raises:
        UsageError: where there are none.
    """
    found = [path for folder in folders for path in _below(folder)]
    if not found:
        named = ", ".join(map(str, folders))
        raise UsageError(f"{named or 'no folder named'}: no answers there; `apiprompt ask` first")
    kept, there = [], set[str]()
    for path in dict.fromkeys(found):
        record = read_record(path)
        its_model, its_prompt = record["settings"].get("model"), record.get("prompt")
        there.add(f"{its_model} ({its_prompt})")
        if model in (None, its_model) and prompt in (None, its_prompt):
            kept.append(path)
    if not kept:
        asked = " and ".join(
            f"--{flag} {value}" for flag, value in (("model", model), ("prompt", prompt)) if value
        )
        raise UsageError(f"no answers of {asked}; there are: {', '.join(sorted(there))}")
    return kept


def is_plain(folder: Path) -> bool:
    """Whether answers are about originals."""
    return folder.parents[1].name.startswith(PLAIN)


def labels(folders: Sequence[Path]) -> list[str]:
    """Short names that tell folders of answers apart: `plain`, or what differs of the run's path.

    Where several are of one run, or several sets' originals, the answers' own folder follows.
    """
    runs = [folder.resolve().parents[1] for folder in folders]
    masked = [run.parts for run in dict.fromkeys(runs) if not run.name.startswith(PLAIN)]
    shared = 0
    while masked and len({parts[: shared + 1] for parts in masked}) == 1:
        shared += 1
        if shared >= min(map(len, masked)) - 1:
            break
    keep = 2 if len(masked) == 1 else 1  # of a run alone both parts of its name
    names = []
    for run in runs:
        if run.name.startswith(PLAIN):
            names.append("plain")
        else:
            start = min(shared, len(run.parts) - keep)
            names.append("/".join(run.parts[max(start, 0) :]))
    return [
        name if names.count(name) == 1 else f"{name}/{folder.name}"
        for name, folder in zip(names, folders, strict=True)
    ]


def _below(folder: Path) -> Iterator[Path]:
    if (folder / RECORD).is_file():
        yield folder
    elif found := answers_folders(folder):
        yield from found
    else:
        yield from sorted(path.parent for path in folder.rglob(RECORD))
