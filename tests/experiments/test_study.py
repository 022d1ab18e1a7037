"""The study: its five commands on any set, its controls, what it chooses, and its page."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from api_cli.asking.answers import read_answers
from datasets_manager.counting import FOLDER as COUNTING
from experiments.study import __main__ as study
from experiments.study import drawn
from experiments.study.controls import inverted, true_boxes, write_control
from experiments.study.drawn import Plan, best_by_group, study_level
from experiments.study.page import BEGIN, END, cells, wins, write_page
from experiments.study.program import apiprompt
from experiments.study.recipes import Recipe
from tests.api_cli.asking.servers import FaultyServer
from tests.conftest import read_json_lines, write_json_lines
from tests.layouts import write_mm_vet

PAGE = Path(__file__).parents[2] / "docs" / "study.md"


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["study", *map(str, words)])
    study.main()


@pytest.mark.process
@pytest.mark.model
def test_any_set_is_masked_asked_judged_and_compared_in_one_go(
    tmp_path, photographs, monkeypatch, capsys
):
    write_mm_vet(tmp_path / "mm-vet", photographs)
    monkeypatch.chdir(tmp_path)
    server, judge = FaultyServer(), FaultyServer()
    with server.running(), judge.running():
        choice = {"message": {"content": "0.5"}, "finish_reason": "stop"}
        judge.reply = {"choices": [choice]}
        of_set = ("--dataset", "mmvet", "--data-root", tmp_path, "--work", "work")
        who = ("--model", "small", "--base-url", server.url)
        judged = ("--judge-model", "small", "--judge-base-url", judge.url)
        own = ("--mask", "--model-name demo --layer-index -2", "--ask", "--max-tokens 1024")
        for _ in range(2):  # the second time all is there
            run(monkeypatch, *of_set, *who, *judged, *own)
    assert {body["max_tokens"] for body in server.asked} == {1024}
    assert len(server.asked) == 6, "two questions: masked, with the other's mask, plain"
    assert 1 <= len(judge.asked) <= 6
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    labels = [line.split("|")[1].strip() for line in table]
    assert labels[1:5] == ["---", "plain", "1_3_BICUBIC_0", "1_3_BICUBIC_0_shuffled-0"]
    assert table[2].split("|")[2].strip() == "50.0"
    folders = sorted(Path("work", "mmvet").rglob("ask.yaml"))
    assert all(read_answers(folder.parent).answers for folder in folders)


def test_the_lines_of_the_page_are_those_that_the_study_runs(monkeypatch, capsys):
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = [" ".join(line.split()) for line in text.splitlines()]
    [arguments] = re.findall(r"make study ARGS='(--dataset mmvet [^']*)'", text)
    words = shlex.split(arguments)
    run(monkeypatch, *words, "--dry-run")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5
    start = blocks.index(said[0])
    assert blocks[start : start + 5] == said


def boxed(folder, number=3):
    """Scenes of the counting set as the study's own rows have them."""
    rows = read_json_lines(COUNTING / "metadata.jsonl")[:number]
    for row in rows:
        path = folder / row["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((COUNTING / row["file_name"]).read_bytes())
        row["asked_boxes"] = [row["objects"][i]["box"] for i in row["asked"]]
        row |= {"answer_boxes": [], "size": "16 to 24 %"}
    write_json_lines(folder / "metadata.jsonl", rows)
    return rows


@pytest.mark.model
def test_controls_fade_all_but_the_boxes_and_what_the_run_has_lit(tmp_path):
    rows = boxed(tmp_path / "scenes")
    of_set = ("--dataset", "imagefolder", "--data-root", tmp_path / "scenes")
    out = ("--output-folder", tmp_path / "out", "--format", "png", "--save-maps", "--quiet")
    [made] = apiprompt("clip", *of_set, "--model-name", "demo", *out)
    boxes = write_control(Path(made), "true-boxes", true_boxes)
    dark = write_control(Path(made), "inverted", inverted(Path(made)))
    assert boxes.parent.parent == Path(made).parent.parent, "their originals are asked once"
    for row in rows:
        name = f"{row['key']}.png"
        original = np.asarray(Image.open(tmp_path / "scenes" / row["file_name"])).astype(int)
        kept = np.asarray(Image.open(boxes / name)).astype(int)
        outside = np.ones(original.shape[:2], bool)
        for x0, y0, x1, y1 in row["asked_boxes"]:
            assert (kept[y0:y1, x0:x1] == original[y0:y1, x0:x1]).all()
            dx, dy = 3 + (x1 - x0) // 20, 3 + (y1 - y0) // 20
            outside[max(y0 - dy, 0) : y1 + dy, max(x0 - dx, 0) : x1 + dx] = False
        assert (kept[outside] == 0).all()
        lit = np.asarray(Image.open(Path(made) / name)).astype(int)
        other = np.asarray(Image.open(dark / name)).astype(int)
        assert np.abs(lit + other - original).mean() < 2, "what one shows the other hides"
    assert len(read_json_lines(boxes / "metadata.jsonl")) == len(rows)


@pytest.mark.model
def test_a_level_is_chosen_on_some_scenes_and_reported_on_others(tmp_path, monkeypatch):
    for part in ("scenes-to-choose", "scenes-to-report"):
        boxed(tmp_path / "crowded" / part, 6)
    recipes = (Recipe("API-CLIP", "clip", ("--grayscale", "0,128"), fades=True),)
    monkeypatch.setattr(drawn, "RECIPES", recipes)
    plan = Plan(tmp_path, "demo", scenes=6, report_scenes=6, confirm_scenes=6)
    first = study_level("crowded", plan)
    names = [row["setting"] for row in first["report"]]
    assert names[:2] == ["plain", first["reference"]]
    assert names[2:] == [drawn.SHUFFLED, drawn.INVERTED, *drawn.BOXES]
    assert {row["n"] for row in first["report"]} == {6}
    kept = tmp_path / "crowded" / "results.json"
    assert json.loads(kept.read_text()) == first == study_level("crowded", plan)
    kept.unlink()
    assert study_level("crowded", plan) == first, "made again of what is there"


def rows_of(group, **settings):
    usual = {"low": -1.0, "high": 1.0, "won": 3, "lost": 2, "p": 0.5, "n": 100}
    rows = [usual | {"group": group, "setting": "plain", "score": 60.0, "difference": None}]
    for name, difference in settings.items():
        score = {"score": 60.0 + difference, "difference": difference}
        ends = {"low": difference - 2, "high": difference + 2}
        rows.append(usual | {"group": group, "setting": name} | score | ends)
    return rows


def test_the_page_says_where_masks_win_and_lose_and_keeps_what_people_wrote(tmp_path):
    controls = dict.fromkeys([drawn.SHUFFLED, drawn.INVERTED, *drawn.BOXES], -9.0)
    choice = rows_of("", a=1.0, b=2.0) + rows_of("count", a=4.0, b=-3.0)
    assert best_by_group(choice) == {"": "b", "count": "a"}
    report = rows_of("", a=-1.0, b=-5.0, **controls)
    report += rows_of("count", a=3.0, b=-2.0, **controls)
    level = {
        "level": "crowded", "model": "demo", "scenes": 10, "report_scenes": 20,
        "reference": "b", "chosen": best_by_group(choice), "choice": choice, "sizes": [],
        "report": report,
    }  # fmt: skip
    found = {cell.kind: wins(cell.row) for cell in cells([level])}
    assert found == {"": False, "count": True}
    rows = rows_of("", a=3.0, **{drawn.SHUFFLED: -8.0})
    again = [row | {"p_holm": 0.01} for row in rows]
    confirmed = {"level": "crowded", "kind": "count", "setting": "a", "rows": again}
    page = tmp_path / "study.md"
    page.write_text(f"Before\n\n{BEGIN}\nold\n{END}\n\nAfter\n")
    write_page(page, [level], [confirmed], {"What masks change": tmp_path / "study" / "kinds.svg"})
    text = page.read_text()
    assert text.startswith("Before\n")
    assert text.endswith("\n\nAfter\n")
    assert "old" not in text
    assert "![What masks change](study/kinds.svg)" in text
    assert "| crowded | count | 100 | 60.0 | a | 63.0 | +3.0 [+1.0, +5.0] **wins** |" in text
    assert "-5.0 [-7.0, -3.0] loses |" in text
