"""What `apiprompt profile` can be told beside what its model's command can."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from api_cli.options import parsers
from api_cli.options.clip import ClipConfig
from api_cli.options.config import DATA, MASK, MODEL, OUTPUT, SCALE, Config
from api_cli.options.llava import LlavaConfig
from api_cli.options.option import option
from api_cli.options.score import SCORING, table_option


@dataclass(frozen=True, kw_only=True)
class ProfileConfig(Config):
    """Boxes, and what is made of the scores."""

    layer_index: tuple[int | str, ...] | None = option(
        MODEL,
        None,
        parsers.layers,
        "L,...",
        "Layers to profile, from 0; negative counts from the end; 14+15 is a mean to profile too.",
        "all that can be read",
    )
    box_column: str | None = option(
        DATA,
        None,
        parsers.text,
        "NAME",
        "Column of the boxes of what each question is about: one, or a list of them.",
        "boxes, bboxes, box or bbox",
    )
    box_format: str = option(
        DATA,
        "xyxy",
        parsers.one_of("xyxy", "xywh"),
        "NAME",
        "xyxy: left, top, right, bottom; xywh: left, top, width, height.",
    )
    box_units: str = option(
        DATA,
        "auto",
        parsers.one_of("auto", "pixels", "fractions"),
        "NAME",
        "pixels, fractions of the picture's width and height, or auto: fractions in rows without "
        "a number above 1.",
    )
    best: int = option(
        SCORING, 5, parsers.integer(1), "N", "Layers at most whose mean is looked for."
    )
    resamples: int = option(
        SCORING, 10_000, parsers.integer(100), "N", "Draws of the bootstrap intervals."
    )
    seed: int = option(SCORING, 0, parsers.integer(0), "N", "Of those draws.")
    table: str = table_option()
    csv: Path | None = option(
        OUTPUT, None, parsers.path, "FILE", "Write the whole table there, as CSV.", ""
    )
    plot: Path | None = option(
        OUTPUT,
        None,
        parsers.path,
        "FILE",
        "Draw the layers' AUROC there: .png, .svg, .pdf (an extra: apiprompt\\[plot]).",
        "",
    )


@dataclass(frozen=True, kw_only=True)
class ProfileClipConfig(ProfileConfig, ClipConfig):
    """Configuration of `apiprompt profile clip`."""


@dataclass(frozen=True, kw_only=True)
class ProfileLlavaConfig(ProfileConfig, LlavaConfig):
    """Configuration of `apiprompt profile llava`."""

    heads: bool = option(
        SCORING,
        False,
        parsers.switch,
        "",
        "Score each head of each layer as well; its map is kept like a layer's.",
    )


NO_FLAGS = frozenset(
    [
        *(name for name, option in ClipConfig.options().items() if option.panel in (MASK, SCALE)),
        *(
            "pictures",
            "output",
            "output_format",
            "shard_size",
            "retry_failed",
            "format",
            "quality",
            "overwrite",
            "verify",
            "save_maps",
            "shard",
            "dry_run",
        ),
    ]
)
"""Fields of a run that a profile has no use for: a configuration may have them, to no effect."""
