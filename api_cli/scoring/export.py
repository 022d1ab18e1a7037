"""`apiprompt export`: answers or pictures as other tools take them."""

from __future__ import annotations

import re
from pathlib import Path

from api_cli.asking.answers import read_answers
from api_cli.asking.target import find_runs
from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.export import TO_ANSWERS, TO_PICTURES, ExportConfig
from api_cli.runs.names import safe_name
from api_cli.scoring.exports import ANSWERS, PICTURES
from api_cli.scoring.exports.run import read_run
from api_cli.scoring.folders import find_answers, labels


def export(config: ExportConfig, console: Console) -> list[Path]:
    """Write the files, and give those that are handed to the tool.

    Raises:
        ApipromptError: where nothing is there to be exported, or an answer is missing.
    """
    if config.to is None:
        raise UsageError(f"--to: say what for: {', '.join((*TO_ANSWERS, *TO_PICTURES))}")
    if not config.folders:
        raise UsageError("no folder named: which run, or which answers?")
    paths: list[Path] = []
    if config.to in ANSWERS:
        folders = find_answers(config.folders, config.model, config.prompt)
        for folder, label in zip(folders, labels(folders), strict=True):
            paths += ANSWERS[config.to](read_answers(folder), _place(config, config.to, label))
        return paths
    tool = PICTURES[config.to]
    runs = find_runs(config.folders)
    for folder in runs:
        label = "_".join(folder.resolve().parts[-2:])
        paths += tool.write(read_run(folder), _place(config, config.to, label))
    if tool.note():
        console.say(tool.note())
    return paths


def _place(config: ExportConfig, to: str, label: str) -> Path:
    """The folder of one run or one model's answers, made if need be."""
    folder = config.output / to / safe_name(re.sub(r"[/\\\\]", "_", label))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
