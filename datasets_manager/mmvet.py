"""MM-Vet: 218 open questions about 200 images, from the authors' `mm-vet.zip`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager.base import DatasetError, Sample, read_json, required
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register


@register(
    "mmvet",
    about="MM-Vet: 218 open questions that need several abilities at once",
    home="https://github.com/yuweihao/MM-Vet",
    licence="annotations CC BY-NC 4.0; images under their own terms",
    folder="mm-vet",
    metric="judge:mmvet",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of `mm-vet/mm-vet.json`, keys `v1_0`, `v1_1`, ... as in the file."""
    folder = root / "mm-vet"
    path = folder / "mm-vet.json"
    rows = read_json(path, "get mm-vet.zip from the MM-Vet release page and unpack it there")
    if not isinstance(rows, dict):
        raise DatasetError(f"{path}: expected an object of samples, got a {type(rows).__name__}")
    for index, (key, row) in enumerate(rows.items()):
        place = f"{path}, {key}"
        yield Sample(
            key=key,
            index=index,
            image=folder / "images" / str(required(row, "imagename", place)),
            question=str(required(row, "question", place)),
            # the hub's rows have the key as well, and lmms-eval's task reads it there
            extra={"question_id": key} | {k: v for k, v in row.items() if k != "question"},
        )
