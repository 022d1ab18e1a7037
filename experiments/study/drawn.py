"""The study on drawn scenes: settings chosen on one set of scenes, reported on a fresh one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from api_cli.runs.record import RECORD
from experiments.study.controls import (
    MaskOf,
    all_boxes,
    inverted,
    neighbour_box,
    true_boxes,
    write_control,
)
from experiments.study.program import apiprompt
from experiments.study.recipes import RECIPES, Recipe

DRAWING = Path(__file__).parents[1] / "demo" / "make_study.py"
LEVELS = ("ordinary", "look-alikes", "crowded", "noisy", "tiny")
ALL = ""  # the group of all questions
TO_CHOOSE, TO_REPORT, TO_CONFIRM = 1, 2, 3  # seeds of scenes
CONFIRMED = 4  # kinds of question at a level that are looked at again
SHUFFLE = ("--shuffle-masks", "0")
SHUFFLED = "another scene's mask"
BOXES: Mapping[str, MaskOf] = {
    "true boxes": true_boxes,
    "true and answer boxes": all_boxes,
    "a neighbour": neighbour_box,
}
INVERTED = "inverted"

Rows = list[dict[str, Any]]  # as `apiprompt compare --table json` has them


class Plan(NamedTuple):
    """How large the study is, and where it works.

    Attributes:
        work: folder of scenes, runs, answers and results.
        model: as `apiprompt ask --backend hf` takes it.
        scenes: a level, to choose settings on.
        report_scenes: fresh ones a level, to report on.
        confirm_scenes: further ones of one level and kind of question.
    """

    work: Path
    model: str
    scenes: int
    report_scenes: int
    confirm_scenes: int


class Setting(NamedTuple):
    """One setting of a recipe.

    Attributes:
        name: for tables.
        recipe: of which it is.
        run: its run folder.
    """

    name: str
    recipe: Recipe
    run: Path


def study_level(level: str, plan: Plan) -> dict[str, Any]:
    """Choose and report on scenes of one level; all of it goes on where it stopped.

    What `results.json` has of the same plan is taken from there.

    Returns:
        What `results.json` holds: `chosen`, the setting that did best on the first scenes by group
        of questions; `choice`, rows on those scenes; `report` and `sizes`, rows on the fresh ones,
        by kind of question and by size of the thing.
    """
    work = plan.work / level
    kept = work / "results.json"
    made_by = {
        "level": level,
        "model": plan.model,
        "scenes": plan.scenes,
        "report_scenes": plan.report_scenes,
        "recipes": [list(map(str, (r.name, r.command, *r.flags))) for r in RECIPES],
    }
    if kept.exists():
        before: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if before.items() >= made_by.items():
            return before
    to_choose = _draw(level, TO_CHOOSE, plan.scenes, work / "scenes-to-choose")
    to_report = _draw(level, TO_REPORT, plan.report_scenes, work / "scenes-to-report")

    tried = list(_mask(to_choose, work / "choosing"))
    answers = _ask([setting.run for setting in tried], plan.model)
    choice = _compare(answers, [setting.name for setting in tried], "kind")
    chosen = best_by_group(choice)
    by_name = {setting.name: setting for setting in tried}
    faded = [s.name for s in tried if s.recipe.fades]
    reference = best_by_group([row for row in choice if row["setting"] in faded])[ALL]

    out = work / "reporting"
    names = list(dict.fromkeys([reference, *chosen.values()]))
    runs = [
        _again(by_name[name].run, to_report, out, *["--save-maps"][: name == reference])
        for name in names
    ]
    [of_reference] = [run for name, run in zip(names, runs, strict=True) if name == reference]
    runs.append(_again(by_name[reference].run, to_report, out, *SHUFFLE))
    controls = {INVERTED: inverted(of_reference), **BOXES}
    for name, mask_of in controls.items():
        runs.append(write_control(of_reference, name.replace(" ", "-"), mask_of))
    answers = _ask(runs, plan.model)
    names += [SHUFFLED, *controls]
    results = made_by | {
        "reference": reference,
        "chosen": chosen,
        "runs": {name: str(by_name[name].run) for name in names[: len(names) - len(controls) - 1]},
        "choice": choice,
        "report": _compare(answers, names, "kind"),
        "sizes": _compare(answers, names, "size"),
    }
    kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def confirm(results: Sequence[Mapping[str, Any]], plan: Plan) -> list[dict[str, Any]]:
    """Where masks seem to help most, looked at again on many further scenes of that kind alone.

    Returns:
        A level, a kind, the setting that was chosen for it, and rows on the further scenes, for
        each; most promising first, by the lower end of the interval on the reported scenes.
    """
    promising = []
    for level in results:
        for row in level["report"]:
            if row["group"] and row["setting"] == level["chosen"].get(row["group"]):
                promising.append((row["low"], level["level"], row["group"], level))
    confirmed = []
    for _, name, kind, level in sorted(promising, key=lambda one: -one[0])[:CONFIRMED]:
        setting = level["chosen"][kind]
        work = plan.work / name
        folder = work / f"scenes-{kind}"
        scenes = _draw(name, TO_CONFIRM, plan.confirm_scenes, folder, "--kinds", kind)
        run, out = Path(level["runs"][setting]), work / f"confirming-{kind}"
        runs = [_again(run, scenes, out), _again(run, scenes, out, *SHUFFLE)]
        rows = _compare(_ask(runs, plan.model), [setting, SHUFFLED])
        confirmed.append({"level": name, "kind": kind, "setting": setting, "rows": rows})
    return confirmed


def best_by_group(rows: Rows) -> dict[str, str]:
    """The setting with the highest score in each group; the first of several as good."""
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["difference"] is None:
            continue  # plain
        if row["group"] not in best or row["score"] > best[row["group"]]["score"]:
            best[row["group"]] = row
    return {group: row["setting"] for group, row in best.items()}


def _draw(level: str, seed: int, scenes: int, folder: Path, *more: str) -> Path:
    """An image folder of that many scenes; made if it is not there."""
    table = folder / "metadata.jsonl"
    if not table.exists() or len(table.read_text(encoding="utf-8").splitlines()) != scenes:
        words = ("--level", level, "--seed", seed, "--scenes", scenes, "--output", folder, *more)
        subprocess.run([sys.executable, str(DRAWING), *map(str, words)], check=True)
    return folder


def _mask(scenes: Path, out: Path) -> Iterator[Setting]:
    """Every setting of every recipe."""
    for recipe in RECIPES:
        runs = apiprompt(
            recipe.command, *_of(scenes, out), "--model-name", "demo", "--quiet", *recipe.flags
        )
        for run in map(Path, runs):
            name = f"{recipe.name} {run.name}" if recipe.name.startswith("API") else recipe.name
            yield Setting(name, recipe, run)


def _again(run: Path, scenes: Path, out: Path, *flags: str) -> Path:
    """A run's setting on other scenes; its record is a configuration."""
    record = yaml.safe_load((run / RECORD).read_text(encoding="utf-8"))
    words = ("--config", run / RECORD, *_of(scenes, out), "--quiet", *flags)
    [again] = apiprompt(record["settings"]["method"], *words)
    return Path(again)


def _of(scenes: Path, out: Path) -> tuple[object, ...]:
    return ("--dataset", "imagefolder", "--data-root", scenes, "--output-folder", out)


def _ask(runs: Sequence[Path], model: str) -> list[str]:
    """Folders of answers: the originals' first, then those of each run in order."""
    words = ("--backend", "hf", "--model", model, "--precision", "bf16", "--batch-size", 32)
    *masked, plain = apiprompt("ask", *runs, "--plain", *words, "--max-tokens", 12, "--quiet")
    return [plain, *masked]


def _compare(answers: Sequence[str], names: Sequence[str], by: str = "") -> Rows:
    """Rows of the comparison, by a column or of all alone, its settings under these names."""
    words = (*answers, *(["--by", by] if by else []), "--table", "json", "--quiet")
    rows: Rows = json.loads("\n".join(apiprompt("compare", *words)))["rows"]
    every = ["plain", *names]  # in each group in this order
    return [row | {"setting": every[number % len(every)]} for number, row in enumerate(rows)]
