"""What `apiprompt score` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_cli.options import parsers
from api_cli.options.config import DATA, OUTPUT, RUN, Config
from api_cli.options.option import option

SCORING = "Scoring"
METRICS = (
    *("auto", "exact", "contains", "vqa", "anls", "letter", "mmmu", "mme", "pope"),
    *("judge:mmvet", "judge:llava"),
)
TABLES = ("auto", "md", "csv", "json")


def table_option() -> Any:
    """The field `table` of every command that prints one."""
    return option(
        OUTPUT,
        "auto",
        parsers.one_of(*TABLES),
        "NAME",
        "How the table on stdout is written: md, csv, json, or auto for the terminal.",
    )


@dataclass(frozen=True, kw_only=True)
class AnswersConfig(Config):
    """Which answers are scored, and by what; of every command that needs scores."""

    folders: tuple[Path, ...] = option(
        DATA,
        (),
        parsers.several(parsers.path),
        "RUN_OR_ANSWERS...",
        "Run folders, folders of answers, or folders that hold such.",
    )
    model: str | None = option(
        DATA, None, parsers.text, "NAME", "Of a run folder, the answers of this model.", "all"
    )
    prompt: str | None = option(
        DATA, None, parsers.text, "NAME", "Of a run folder, the answers to this prompt.", "all"
    )
    metric: str = option(
        SCORING,
        "auto",
        parsers.one_of(*METRICS),
        "NAME",
        f"{', '.join(METRICS)}; auto is the dataset's own, else exact.",
    )
    judge_model: str | None = option(
        SCORING, None, parsers.text, "NAME", "Model that judges, as its server knows it.", ""
    )
    table: str = table_option()
    quiet: bool = option(RUN, False, parsers.switch, "", "Errors only.")

    def to_dict(self) -> dict[str, Any]:
        """Field names to values of YAML's own types."""
        return super().to_dict() | {"folders": [str(path) for path in self.folders] or None}


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(AnswersConfig):
    """Configuration of `apiprompt score`."""

    command = "score"

    partial: bool = option(
        SCORING,
        False,
        parsers.switch,
        "",
        "Sum up although samples lack an answer or a score; the summary says so first.",
    )
    judge_base_url: str | None = option(
        SCORING, None, parsers.text, "URL", "The judge's server, such as https://host/v1.", ""
    )
    judge_api_key_env: str = option(
        SCORING, "OPENAI_API_KEY", parsers.text, "NAME", "Variable that holds its key, if any."
    )
    judge_concurrency: int = option(
        SCORING, 16, parsers.integer(1, 1000), "N", "Judgements at a time at most."
    )
