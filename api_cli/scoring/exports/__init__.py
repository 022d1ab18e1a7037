"""The exports, a file a tool, and the table of their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from api_cli.asking.answers import AnswerSet
from api_cli.scoring.exports import answers, lmms_eval
from api_cli.scoring.exports.fiftyone import fiftyone
from api_cli.scoring.exports.inspect import inspect
from api_cli.scoring.exports.run import Run
from api_cli.scoring.exports.vlmevalkit import vlmevalkit

ANSWERS: dict[str, Callable[[AnswerSet, Path], list[Path]]] = {
    "mmvet": answers.mm_vet,
    "llava-bench": answers.llava_bench,
    "vizwiz": answers.viz_wiz,
    "textvqa": answers.text_vqa,
    "mme": answers.mme,
}


class PictureExport(NamedTuple):
    """An export of a run's pictures.

    Attributes:
        write: makes the files in a folder that is there, and gives those that a user names.
        note: what a user has to know then; may be nothing.
    """

    write: Callable[[Run, Path], list[Path]]
    note: Callable[[], str] = str


PICTURES = {
    "lmms-eval": PictureExport(lmms_eval.lmms_eval, lmms_eval.note),
    "vlmevalkit": PictureExport(vlmevalkit),
    "inspect": PictureExport(inspect),
    "fiftyone": PictureExport(fiftyone),
}
