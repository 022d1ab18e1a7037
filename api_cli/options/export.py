"""What `apiprompt export` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_cli.options import parsers
from api_cli.options.config import DATA, OUTPUT, RUN, Config
from api_cli.options.option import option

TO_ANSWERS = ("mmvet", "llava-bench", "vizwiz", "textvqa", "mme")
TO_PICTURES = ("lmms-eval", "vlmevalkit", "inspect", "fiftyone")


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Config):
    """Configuration of `apiprompt export`."""

    command = "export"

    folders: tuple[Path, ...] = option(
        DATA,
        (),
        parsers.several(parsers.path),
        "RUN...",
        "Run folders, or folders that hold such; for exports of answers folders of answers too.",
    )
    to: str | None = option(
        OUTPUT,
        None,
        parsers.one_of(*TO_ANSWERS, *TO_PICTURES),
        "NAME",
        f"Answers for a set's own evaluator: {', '.join(TO_ANSWERS)}; pictures for a tool: "
        f"{', '.join(TO_PICTURES)}.",
        "",
    )
    output: Path = option(
        OUTPUT,
        Path("exports"),
        parsers.path,
        "DIR",
        "Folder for what is exported, in a folder of the tool's name and one a run.",
    )
    model: str | None = option(
        DATA, None, parsers.text, "NAME", "Of a run folder, the answers of this model.", "all"
    )
    prompt: str | None = option(
        DATA, None, parsers.text, "NAME", "Of a run folder, the answers to this prompt.", "all"
    )
    quiet: bool = option(RUN, False, parsers.switch, "", "Errors only.")

    def to_dict(self) -> dict[str, Any]:
        """Field names to values of YAML's own types."""
        return super().to_dict() | {"folders": [str(path) for path in self.folders] or None}
