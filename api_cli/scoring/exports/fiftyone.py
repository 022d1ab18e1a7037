"""FiftyOne: groups of an original and what a run made of it, with the map where it saved it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api_cli.asking.target import Target, find_targets
from api_cli.masking.renderings import RENDERINGS
from api_cli.options.ask import AskConfig
from api_cli.runs.files import write_whole
from api_cli.runs.ledger import Row
from api_cli.runs.names import safe_name
from api_cli.runs.rendering import MAPS_SUFFIX
from api_cli.scoring.exports.run import Run, facts
from api_cli.scoring.files import write_rows

_SCRIPT = '''"""Make a FiftyOne dataset of samples.jsonl: python load.py [NAME]"""

import json
import sys
from pathlib import Path

import fiftyone as fo
import numpy as np


def maps(path):
    if path:
        for relevance in np.load(path):  # (maps, G, G)
            yield (relevance - relevance.min()) / max(float(np.ptp(relevance)), 1e-9)


folder = Path(__file__).resolve().parent
dataset = fo.Dataset(sys.argv[1] if len(sys.argv) > 1 else folder.name, overwrite=True)
dataset.persistent = True
dataset.add_group_field("group", default="masked")
samples = []
for line in (folder / "samples.jsonl").open(encoding="utf-8"):
    row = json.loads(line)
    group = fo.Group()
    for name, path in row["slices"].items():
        sample = fo.Sample(filepath=path, group=group.element(name), **row["fields"])
        for number, relevance in enumerate(maps(row["map"])):
            if name in row["map_lies_on"]:
                sample[f"relevance_{number}"] = fo.Heatmap(map=relevance)
        samples.append(sample)
dataset.add_samples(samples)
print(dataset)
'''
_RESERVED = ("id", "filepath", "tags", "metadata", "group", "created_at")


def fiftyone(run: Run, folder: Path) -> list[Path]:
    """`samples.jsonl`, and `load.py` which makes a dataset of it where FiftyOne is installed.

    Originals are copied beside them, for samples of one picture whose dataset can be opened.
    """
    samples, script = folder / "samples.jsonl", folder / "load.py"
    [target] = find_targets(AskConfig(runs=(run.folder,)))
    write_rows(samples, (_sample(run, row, target, folder / "originals") for row in run.rows))
    script.write_text(_SCRIPT, encoding="utf-8")
    return [samples, script]


def _sample(run: Run, row: Row, target: Target, originals: Path) -> dict[str, Any]:
    slices = {
        "masked" if column == "file_name" else column.removesuffix("_file_name"): path.resolve()
        for column, path in run.pictures(row).items()
    }
    stem, _, _ = slices["masked"].name.rpartition(".")
    relevance = slices["masked"].with_name(f"{stem}{MAPS_SUFFIX}")
    if (original := _original(row, target, originals)) is not None:
        slices["original"] = original
    rendering = RENDERINGS.get(str(run.settings.get("render", "fade")))
    in_place = rendering is not None and rendering.in_place
    return {
        "slices": {name: str(path) for name, path in slices.items()},
        "map": str(relevance) if relevance.exists() else None,
        "map_lies_on": ["original", *(["masked"] if in_place else [])],
        "fields": {
            f"sample_{name}" if name in _RESERVED else name.replace("-", "_"): value
            for name, value in {"key": row["key"], **facts(row)}.items()
            if value is not None
        },
    }


def _original(row: Row, target: Target, folder: Path) -> Path | None:
    """A copy of a row's original picture; None where it is not to be had."""
    try:
        [source] = target.originals(str(row["key"])) if target.originals else ()
        content = source.read()
    except (OSError, LookupError, ValueError):
        return None
    folder.mkdir(exist_ok=True)
    path = folder / f"{safe_name(str(row['key']))}{Path(source.file_name).suffix}"
    write_whole(path, content)
    return path.resolve()
