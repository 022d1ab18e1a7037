"""`apiprompt show`: from run folders to a page, or to a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.show import ShowConfig
from api_cli.pages.show.contact_sheet import MOST_SAMPLES, write_contact_sheet
from api_cli.pages.show.content import describe_item, describe_runs, groups_of, read_asked
from api_cli.pages.show.drawing import Drawing
from api_cli.pages.show.page import Beside, Inline, claim, write_page
from api_cli.pages.show.runs import Item, Run, is_plain, read_items, read_runs
from api_cli.runs.files import naming

_LARGE_MAIL = 20_000_000  # bytes; what mail servers take at most


@dataclass
class _Counts:
    finished: int = 0
    failed: int = 0


def show(config: ShowConfig, console: Console) -> Path:
    """Make the page or the contact sheet that is asked for, and return its path.

    Raises:
        ApipromptError, OSError: where runs cannot be read or it cannot be written.
    """
    if not config.runs:
        raise UsageError("no run folder named: apiprompt show RUN...")
    plain = [path for path in config.runs if is_plain(path)]
    runs = read_runs([path for path in config.runs if path not in plain], config.data_root)
    items = read_items(runs, config.range)
    if not items:
        raise UsageError("there is nothing to show: no run has a sample there")
    if config.contact_sheet is not None:
        return _show_sheet(config, config.contact_sheet, runs, items, console)
    return _show_page(config, runs, plain, items, console)


def _show_page(
    config: ShowConfig,
    runs: Sequence[Run],
    plain: Sequence[Path],
    items: Sequence[Item],
    console: Console,
) -> Path:
    folder = config.output or runs[0].output_folder / "SHOW"
    with naming(folder):
        claim(folder)
        thumbnails = Inline() if config.single_file else Beside(folder)
        drawing = Drawing(runs, config.thumbnail_side, thumbnails.keep)
        asked = read_asked(runs, plain)
        groups = cache(groups_of)
        samples, counts = [], _Counts()
        with console.progress(len(items), "drawing", "samples") as advance:
            for item, drawn in zip(items, drawing.draw_all(items), strict=True):
                by = groups(config.by, item.dataset)
                samples.append(describe_item(item, drawn, asked, by))
                counts.finished += 1
                advance(counts)
        content = {
            "version": version("apiprompt"),
            "by": config.by,
            "runs": describe_runs(runs),
            "asked": list(asked.titles.values()),
            "plain": bool(asked.plain),
            "notes": asked.notes(),
            "samples": samples,
        }
        page = write_page(folder, ", ".join(run.label for run in runs), content)
        thumbnails.close()
    if config.single_file and page.stat().st_size > _LARGE_MAIL:
        console.warn(
            f"{page} has {page.stat().st_size / 1e6:.0f} MB, more than many mail servers take; "
            "--range START STOP shows fewer samples, --thumbnail-side smaller ones"
        )
    return page


def _show_sheet(
    config: ShowConfig, path: Path, runs: Sequence[Run], items: Sequence[Item], console: Console
) -> Path:
    chosen = items[:MOST_SAMPLES] if config.range is None else items
    if len(chosen) < len(items):
        console.say(
            f"the first {len(chosen)} of {len(items)} samples; --range START STOP shows others"
        )
    drawing = Drawing(runs, config.thumbnail_side, lambda image: image)
    write_contact_sheet(path, runs, chosen, drawing.draw_all(chosen))
    return path
