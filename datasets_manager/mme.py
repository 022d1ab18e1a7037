"""MME: perception and cognition in 14 subtasks, two yes-or-no questions an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from datasets_manager import prompts
from datasets_manager.base import DatasetError, Sample, read_text
from datasets_manager.options import DatasetOptions
from datasets_manager.registry import register
from datasets_manager.tables import Columns, Table, one_sample_a_row

SUBTASKS = (
    "existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark",
    "artwork", "OCR", "commonsense_reasoning", "numerical_calculation", "text_translation",
    "code_reasoning",
)  # fmt: skip
_OBTAIN = "ask the authors for MME_Benchmark_release_version.zip and unpack it in MME"
_SUFFIXES = (".jpg", ".png", ".jpeg")


def from_tables(
    tables: Sequence[Table], columns: Columns, options: DatasetOptions
) -> Iterator[Sample]:
    """Samples of the hub's copy, under the same keys and with the same questions as from disk.

    Its `question_id` is `{subtask}/{image}`, the same for both questions of an image.
    """
    seen: Counter[str] = Counter()
    for sample in one_sample_a_row(tables, columns):
        subtask, image = PurePosixPath(sample.key).parts[0], PurePosixPath(sample.key).name
        seen[sample.key] += 1
        key = f"{subtask}_{image}_{seen[sample.key]}"
        yield replace(sample, key=key, question=_raw(sample.question))


@register(
    "MME",
    about="MME: 2,374 yes-or-no questions about 1,187 images, all 14 subtasks",
    home="https://github.com/BradyFU/Awesome-Multimodal-Large-Language-Models/tree/Evaluation",
    licence="academic research only",
    folder="MME",
    from_tables=from_tables,
    metric="mme",
)
def load(root: Path, options: DatasetOptions) -> Iterator[Sample]:
    """Samples of `MME/MME_Benchmark_release_version/{subtask}/`, subtask by subtask.

    A subtask has its images in `images/` and a text file each in `questions_answers_YN/`, or all
    in one folder. A text has two lines of question, tab and answer. Keys are
    `{subtask}_{image}_{1|2}`, the image without suffix. The questions' ending " Please answer yes
    or no." is no part of what a mask is made for: it is the `prompt`.
    """
    index = 0
    for subtask in SUBTASKS:
        folder = root / "MME" / "MME_Benchmark_release_version" / subtask
        two = (folder / "questions_answers_YN").is_dir()
        texts = sorted((folder / "questions_answers_YN" if two else folder).glob("*.txt"))
        if not texts:
            raise DatasetError(f"no questions of MME's {subtask} in {folder}; {_OBTAIN}")
        for text in texts:
            image = _image(folder / "images" if two else folder, text.stem)
            for number, (question, answer) in enumerate(_questions(text), start=1):
                yield Sample(
                    key=f"{subtask}_{text.stem}_{number}",
                    index=index,
                    image=image,
                    question=_raw(question),
                    extra={
                        "question_id": f"{subtask}/{image.name}",
                        "category": subtask,
                        "answer": answer,
                        "prompt": prompts.YES_OR_NO,
                    },
                )
                index += 1


def _image(folder: Path, stem: str) -> Path:
    """The image of that name; where there is none, the path at which it is missed."""
    paths = [folder / f"{stem}{suffix}" for suffix in _SUFFIXES]
    return next(filter(Path.exists, paths), paths[0])


def _questions(path: Path) -> list[tuple[str, str]]:
    """Questions and answers of a text file, whose lines may end in blanks."""
    rows = [line.split("\t") for line in map(str.rstrip, read_text(path, _OBTAIN).split("\n"))]
    rows = [row for row in rows if row != [""]]
    if len(rows) != 2 or any(len(row) != 2 for row in rows):
        raise DatasetError(
            f"{path}: expected two lines of question, tab and answer, got {rows!r:.200}"
        )
    return [(question.strip(), answer.strip()) for question, answer in rows]


def _raw(question: str) -> str:
    return question.strip().removesuffix(prompts.YES_OR_NO.strip()).rstrip()
