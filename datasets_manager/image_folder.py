"""Anyone's own images: a folder with `metadata.jsonl`, as Hugging Face's ImageFolder has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from datasets_manager.base import DatasetError, Sample, read_json_lines, required
from datasets_manager.registry import register


@register(
    "imagefolder",
    about="your own: --data-root DIR with metadata.jsonl (file_name, question, optional key)",
    home="https://huggingface.co/docs/datasets/image_dataset",
    licence="yours",
)
def load(root: Path) -> Iterator[Sample]:
    """Samples of `root/metadata.jsonl`.

    Columns `file_name` (relative to the folder), `question` and, where there is one, `key`
    (else the row's number); all others travel with the sample.
    """
    path = root / "metadata.jsonl"
    rows = read_json_lines(path, 'write one line an image: {"file_name": ..., "question": ...}')
    for index, row in enumerate(rows):
        place = f"{path}, sample {index}"
        file_name = Path(str(required(row, "file_name", place)))
        if file_name.is_absolute() or ".." in file_name.parts:
            raise DatasetError(f"{place}: file_name {str(file_name)!r} leads out of the folder")
        key = row.get("key")
        yield Sample(
            key=str(index if key is None else key),
            index=index,
            image=root / file_name,
            question=str(required(row, "question", place)),
            extra={k: v for k, v in row.items() if k not in ("file_name", "question", "key")},
        )
