"""Whole small sets in their authors' layouts, scored by hand; and what must not count."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from api_cli.console import Console
from api_cli.errors import ApipromptError, UsageError
from api_cli.options.score import METRICS as FLAG_METRICS
from api_cli.options.score import ScoreConfig
from api_cli.scoring.scale import AUTO, NAMES
from api_cli.scoring.score import score
from datasets_manager import get_dataset
from tests.answers import SETTINGS, rows_of, write_answers
from tests.conftest import read_json_lines, write_json_lines
from tests.layouts import write_mme, write_mmmu, write_pope, write_text_vqa, write_viz_wiz


def summary_of(folder, **wishes):
    [outcome] = score(ScoreConfig(folders=(folder,), **wishes), Console(quiet=True))
    assert not outcome.refused
    return json.loads((folder / "summary.json").read_text())


def test_text_vqa(tmp_path, photographs):
    write_text_vqa(tmp_path / "TextVQA", photographs)
    rows = rows_of(get_dataset("textVQA", tmp_path))
    answers = {"34602": "Nous les gosses.", "34603": "dakota"}  # nine of ten, one of ten
    folder = write_answers(tmp_path / "run", rows, answers, dataset="textVQA")
    summary = summary_of(folder)
    assert summary["figures"] == {"accuracy": 65.0}  # (1 + 0.3) / 2
    assert (summary["n"], summary["missing"], summary["unparsed"]) == (2, 0, 0)
    assert summary["metric"] == "vqa"
    assert read_json_lines(folder / "scores.jsonl")[1] == {
        "key": "34603", "score": 0.3, "parsed": "dakota", "unparsed": False, "truncated": False,
    }  # fmt: skip


def test_viz_wiz_by_answer_type(tmp_path, photographs):
    write_viz_wiz(tmp_path / "VisWiz", photographs)
    rows = rows_of(get_dataset("VisWiz", tmp_path))
    answers = {"VizWiz_val_00000000": "unanswerable", "VizWiz_val_00000001": "night"}
    summary = summary_of(write_answers(tmp_path / "run", rows, answers, dataset="VisWiz"))
    assert summary["figures"] == {"accuracy": 50.0}
    assert summary["by_category"] == {
        "other": {"n": 1, "accuracy": 0.0},
        "unanswerable": {"n": 1, "accuracy": 100.0},
    }


def test_pope(tmp_path, photographs):
    write_pope(tmp_path / "POPE", photographs)
    rows = rows_of(get_dataset("POPE", tmp_path))  # yes, no in each of three parts
    answers = dict(
        zip(
            [row["key"] for row in rows],
            ["Yes", "No", "I cannot tell", "yes", "no.", "There is not"],
            strict=True,
        )
    )
    summary = summary_of(write_answers(tmp_path / "run", rows, answers, dataset="POPE"))
    # taken for: yes no | yes yes | no no; right: 2, 1, 1 of 2
    assert summary["figures"] == {
        "accuracy": 66.6667, "precision": 66.6667, "recall": 66.6667, "F1": 66.6667,
        "yes ratio": 50.0,
    }  # fmt: skip
    assert summary["unparsed"] == 1
    assert summary["by_category"]["popular"]["recall"] == 100.0
    assert summary["by_category"]["adversarial"] == {
        "n": 2, "accuracy": 50.0, "recall": 0.0, "F1": 0.0, "yes ratio": 0.0,
    }  # fmt: skip


def test_mme(tmp_path, photographs):
    write_mme(tmp_path / "MME" / "MME_Benchmark_release_version", photographs)
    rows = rows_of(get_dataset("MME", tmp_path))  # 14 subtasks of two pictures, yes and no each
    answers = {row["key"]: str(row["answer"]) for row in rows}
    answers["existence_0001_1"] = "no"  # one of four wrong, one picture of two
    answers["OCR_0001_1"] = "It is yes"  # other: wrong
    answers["OCR_0001_2"] = "yes"
    answers["code_reasoning_0020_2"] = "None, I think"  # its start has a no
    folder = write_answers(tmp_path / "run", rows, answers, dataset="MME")
    summary = summary_of(folder)
    assert summary["figures"]["existence"] == 75 + 50
    assert summary["figures"]["OCR"] == 50 + 50
    assert summary["figures"]["code_reasoning"] == 200
    assert summary["figures"]["perception"] == 8 * 200 + 125 + 100
    assert summary["figures"]["cognition"] == 800
    assert summary["figures"]["accuracy"] == pytest.approx(100 * 53 / 56, abs=1e-3)
    assert summary["figures"]["accuracy+"] == pytest.approx(100 * 26 / 28, abs=1e-3)
    assert summary["unparsed"] == 1


def test_mme_of_some_subtasks_has_no_sums(tmp_path, photographs):
    write_mme(tmp_path / "MME" / "MME_Benchmark_release_version", photographs)
    rows = [r for r in rows_of(get_dataset("MME", tmp_path)) if r["category"] == "count"]
    answers = {row["key"]: "yes" for row in rows}
    summary = summary_of(write_answers(tmp_path / "run", rows, answers, dataset="MME"))
    assert summary["figures"] == {"accuracy": 50.0, "accuracy+": 0.0, "count": 50.0}


def test_mmmu(tmp_path, photographs):
    write_mmmu(tmp_path / "MMMU" / "MMMU", photographs)
    samples = [s for s in get_dataset("MMMU", tmp_path) if s.extra["id"].endswith("_1")]
    rows = rows_of(samples)
    answers = {row["key"]: "B" for row in rows}  # right
    answers["validation_Art_1"] = "no idea"
    answers["validation_Math_1"] = "(A)"
    summary = summary_of(write_answers(tmp_path / "run", rows, answers, dataset="MMMU"))
    assert summary["figures"] == {"accuracy": pytest.approx(100 * 28 / 30, abs=1e-3)}
    assert summary["unparsed"] == 1  # and not drawn
    assert summary["by_category"]["Math"] == {"n": 1, "accuracy": 0.0}
    assert summary["by_category"]["Science"] == {"n": 5, "accuracy": 80.0}


def test_the_demo_set_and_own_sets_are_scored_by_their_answers(tmp_path):
    rows = rows_of(get_dataset("demo"))[:2]
    answers = {rows[0]["key"]: f" {rows[0]['answer'].upper()}.", rows[1]["key"]: "something else"}
    summary = summary_of(write_answers(tmp_path / "demo", rows, answers, dataset="demo"))
    assert (summary["metric"], summary["figures"]) == ("exact", {"accuracy": 50.0})
    own: list[dict] = [
        {"key": "a", "question": "?", "answer": "red"},
        {"key": "b", "question": "?", "answer": 3},
    ]
    folder = write_answers(tmp_path / "own", own, {"a": "it is red", "b": "3"}, dataset="mine")
    assert summary_of(folder)["figures"] == {"accuracy": 50.0}
    assert summary_of(folder, metric="contains")["figures"] == {"accuracy": 100.0}
    for row in own:
        del row["answer"]
    folder = write_answers(tmp_path / "bare", own, {"a": "x", "b": "y"}, dataset="mine")
    with pytest.raises(UsageError, match="nothing to score by: mine has no metric"):
        summary_of(folder)


OWN = [{"key": str(n), "question": "?", "answer": "red", "category": "c"} for n in range(4)]


def test_what_has_no_answer_is_no_zero_and_no_summary_is_made_in_silence(tmp_path):
    run = tmp_path / "run"
    folder = write_answers(run, OWN, {"0": "red", "1": "blue", "2": "red"})
    [outcome] = score(ScoreConfig(folders=(run,)), Console(quiet=True))
    assert outcome.refused
    assert outcome.summary.incomplete == "of 4 samples 1 without an answer"
    assert not (folder / "summary.json").exists()
    assert [row["score"] for row in read_json_lines(folder / "scores.jsonl")] == [1, 0, 1]
    summary = summary_of(folder, partial=True)
    assert next(iter(summary.items())) == ("partial", "of 4 samples 1 without an answer")
    assert summary["figures"] == {"accuracy": 66.6667}
    assert (folder / "summary.json").read_text().splitlines()[1].lstrip().startswith('"partial"')
    # one that was whole once is not left to be taken for this one
    assert score(ScoreConfig(folders=(run,)), Console(quiet=True))[0].refused
    assert not (folder / "summary.json").exists()


def test_samples_that_the_run_has_or_failed_on_are_missing_though_nobody_asked(tmp_path):
    run = tmp_path / "run"
    folder = write_answers(run, OWN[:2], {"0": "red", "1": "red"})
    assert summary_of(folder)["n"] == 2
    write_json_lines(run / "metadata.jsonl", [{"file_name": f"{r['key']}.jpg", **r} for r in OWN])
    write_json_lines(run / "errors.jsonl", [{"key": "9", "index": 9, "error": "truncated"}])
    [outcome] = score(ScoreConfig(folders=(folder,)), Console(quiet=True))
    assert outcome.summary.incomplete == "of 5 samples 3 without an answer"


def test_images_of_one_question_are_one_sample(tmp_path):
    run = tmp_path / "run"
    options = {"options": "['x', 'y']", "answer": "A", "question_type": "multiple-choice"}
    row = {"key": "validation_Art_1", "id": "validation_Art_1", "question": "?", **options}
    folder = write_answers(
        run, [{**row, "image_number": 1}], {"validation_Art_1": "A"}, dataset="MMMU"
    )
    parts = [{**row, "key": f"validation_Art_1_{n}", "image_number": n} for n in (1, 2)]
    write_json_lines(run / "metadata.jsonl", parts)
    summary = summary_of(folder)
    assert (summary["n"], summary["missing"]) == (1, 0)
    write_json_lines(run / "errors.jsonl", [{"key": "validation_Art_1_3", "error": "broken"}])
    assert summary_of(folder)["missing"] == 0


def test_answers_cut_off_and_rows_without_a_right_answer_stand_apart(tmp_path):
    rows = [OWN[0], {"key": "1", "question": "?"}, OWN[2]]
    answers = {"0": "red", "1": "red", "2": ""}
    folder = write_answers(tmp_path / "run", rows, answers, finish_reason="length")
    with (folder / "answers.jsonl").open("a") as file:
        file.write('{"key": "3", "answ')  # half a line, after a kill
    summary = summary_of(folder, partial=True)
    assert (summary["failed"], summary["truncated"], summary["unparsed"]) == (1, 3, 1)
    assert summary["figures"] == {"accuracy": 50.0}
    second = read_json_lines(folder / "scores.jsonl")[1]
    assert second["score"] is None
    assert "no 'answer'" in second["error"]


def test_of_a_run_folder_all_answers_are_scored_or_those_of_a_model_or_prompt(tmp_path):
    run = tmp_path / "runs" / "APICLIP_x" / "5_3_LANCZOS_0"
    write_answers(run, OWN, dict.fromkeys("0123", "red"))
    other = SETTINGS | {"model": "other"}
    write_answers(run, OWN, dict.fromkeys("0123", "blue"), name="other-1", settings=other)
    everything = score(ScoreConfig(folders=(tmp_path,)), Console(quiet=True))
    assert [one.summary.figures["accuracy"] for one in everything] == [0, 100]
    assert len({one.label for one in everything}) == 2
    [one] = score(ScoreConfig(folders=(run,), model="other"), Console(quiet=True))
    assert one.summary.figures == {"accuracy": 0}
    with pytest.raises(
        UsageError, match=r"no answers of --prompt hint; there are: other \(plain\)"
    ):
        score(ScoreConfig(folders=(run,), prompt="hint"), Console(quiet=True))
    with pytest.raises(UsageError, match="no answers there; `apiprompt ask` first"):
        score(ScoreConfig(folders=(tmp_path / "nowhere",)), Console(quiet=True))
    with pytest.raises(ApipromptError, match="no folder named"):
        score(ScoreConfig(), Console(quiet=True))


def test_flags_know_every_metric():
    assert (AUTO, *NAMES) == FLAG_METRICS


SCRIPT = """
import sys
from api_cli.cli import main
sys.argv = ["apiprompt", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    heavy = {"torch", "transformers", "open_clip", "datasets", "openai"} & set(sys.modules)
    sys.exit(f"imported {heavy}" if heavy else end.code)
"""


@pytest.mark.process
def test_score_and_compare_start_no_torch_and_answer_scripts(tmp_path):
    for name, answer in (("PLAIN_x-1", "blue"), ("API_x/5_3", "red")):
        write_answers(tmp_path / name, OWN, dict.fromkeys("0123", answer))

    def run(*arguments):
        command = [sys.executable, "-c", SCRIPT, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    scored = run("score", ".", "--table", "json")
    assert scored.returncode == 0, scored.stderr
    assert [row["accuracy"] for row in json.loads(scored.stdout)] == [100, 0]
    compared = run("compare", ".", "--table", "csv")
    assert compared.returncode == 0, compared.stderr
    assert compared.stdout.splitlines()[2].startswith(",API_x/5_3,4,1,100.0,100.0,100.0,100.0,4,0,")
    lacking = tmp_path / "lacking"
    write_answers(lacking, OWN, {"0": "red"})
    refused = run("score", "lacking")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "of 4 samples 3 without an answer" in refused.stderr
    partial = run("score", "lacking", "--partial")
    assert partial.returncode == 0
    assert partial.stdout.startswith("partial: ")
