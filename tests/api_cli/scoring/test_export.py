"""Exports in the form that their consumers read; `datasets` reads for itself."""

from __future__ import annotations

import ast
import base64
import csv
import io
import json
import runpy
import sys
from pathlib import Path

import datasets
import pytest
import yaml
from PIL import Image

from api_cli.console import Console
from api_cli.errors import ApipromptError, UsageError
from api_cli.options.export import TO_ANSWERS, TO_PICTURES, ExportConfig
from api_cli.runs.pictures import head_of
from api_cli.scoring.export import export
from api_cli.scoring.exports import ANSWERS, PICTURES
from datasets_manager import get_dataset
from tests.answers import rows_of, write_answers
from tests.conftest import read_json_lines, write_json_lines
from tests.layouts import write_mm_vet, write_mme, write_pope, write_text_vqa, write_viz_wiz

QUIET = Console(quiet=True)


@pytest.fixture
def make_run(tmp_path, photographs):
    """Write a run folder of a dataset's samples, each with the same masked picture."""

    def make(dataset, rows, folder="API_x/5_3_LANCZOS_0", **settings):
        run = tmp_path / "experiments" / folder
        run.mkdir(parents=True)
        for row in rows:
            (run / f"{row['key']}.jpg").write_bytes(photographs["wide"].read_bytes())
        ours = {"flat": False, "image_sha256": "0" * 64}
        named = [{"file_name": f"{row['key']}.jpg", **row, **ours} for row in rows]
        write_json_lines(run / "metadata.jsonl", named)
        config = {"dataset": dataset, "data_root": str(tmp_path)}
        record = {"config": config, "settings": {"dataset": dataset, "format": "jpg", **settings}}
        (run / "run.yaml").write_text(yaml.safe_dump(record))
        return run

    return make


def exported(folder, to, tmp_path):
    return export(ExportConfig(folders=(folder,), to=to, output=tmp_path / "out"), QUIET)


def mm_vet_rows(tmp_path, photographs):
    write_mm_vet(tmp_path / "mm-vet", photographs)
    return rows_of(get_dataset("mmvet", tmp_path))


def test_flags_know_every_export():
    assert (*ANSWERS,) == TO_ANSWERS
    assert (*PICTURES,) == TO_PICTURES


def test_mm_vets_evaluator_gets_an_object_of_answers(tmp_path, photographs):
    rows = mm_vet_rows(tmp_path, photographs)
    answers = {"v1_0": "7 | seven\n", "v1_1": "é"}
    write_answers(tmp_path / "run", rows, answers)
    [path] = exported(tmp_path / "run", "mmvet", tmp_path)
    assert json.loads(path.read_text(encoding="utf-8")) == answers


def test_llava_benchs_reviewer_gets_lines_in_the_questions_order(tmp_path):
    rows = [
        {"key": str(n), "index": n, "question": f"{n}?", "question_id": n, "category": "conv"}
        for n in (1, 0, 2)
    ]
    write_answers(tmp_path / "run", rows, {"0": "zero", "1": "one", "2": "two"})
    [path] = exported(tmp_path / "run", "llava-bench", tmp_path)
    lines = read_json_lines(path)
    assert [line["question_id"] for line in lines] == [0, 1, 2]
    assert [line["text"] for line in lines] == ["zero", "one", "two"]
    assert set(lines[0]) == {
        "question_id", "prompt", "text", "answer_id", "model_id", "metadata",
    }  # fmt: skip


def test_viz_wizs_and_text_vqas_servers_get_lists(tmp_path, photographs):
    write_viz_wiz(tmp_path / "VisWiz", photographs)
    rows = rows_of(get_dataset("VisWiz", tmp_path))
    answers = {"VizWiz_val_00000000": "Unanswerable.", "VizWiz_val_00000001": "Two, pills"}
    write_answers(tmp_path / "viz", rows, answers)
    [path] = exported(tmp_path / "viz", "vizwiz", tmp_path)
    assert json.loads(path.read_text()) == [
        {"image": "VizWiz_val_00000000.jpg", "answer": "unanswerable"},
        {"image": "VizWiz_val_00000001.jpg", "answer": "2 pills"},
    ]
    write_text_vqa(tmp_path / "TextVQA", photographs)
    rows = rows_of(get_dataset("textVQA", tmp_path))
    write_answers(tmp_path / "text", rows, {"34602": "Dakota", "34603": "no"})
    [path] = exported(tmp_path / "text", "textvqa", tmp_path)
    assert json.loads(path.read_text())[0] == {"question_id": 34602, "answer": "Dakota"}


def test_mmes_tool_gets_a_text_a_subtask_with_lines_in_pairs(tmp_path, photographs):
    write_mme(tmp_path / "MME" / "MME_Benchmark_release_version", photographs)
    rows = rows_of(get_dataset("MME", tmp_path))
    mixed = [*rows[::2], *rows[1::2]]
    write_answers(tmp_path / "run", mixed, {row["key"]: "Yes,\tit\nis" for row in rows})
    paths = exported(tmp_path / "run", "mme", tmp_path)
    assert len(paths) == 14
    [existence] = [path for path in paths if path.name == "existence.txt"]
    lines = existence.read_text().splitlines()
    assert lines[0] == (
        "0001.jpg\tIs this existence of 0001? Please answer yes or no.\tYes\tYes, it is"
    )
    assert [line.split("\t")[0] for line in lines] == ["0001.jpg"] * 2 + ["0020.jpg"] * 2
    assert all(len(line.split("\t")) == 4 for line in lines)


@pytest.mark.parametrize("to", TO_ANSWERS)
def test_no_evaluator_is_handed_a_missing_answer(to, tmp_path, photographs):
    rows = mm_vet_rows(tmp_path, photographs)
    write_answers(tmp_path / "run", rows, {"v1_0": "7"})
    with pytest.raises(ApipromptError, match=r"1 samples have no answer \(v1_1 first\)"):
        exported(tmp_path / "run", to, tmp_path)


def test_lmms_eval_gets_the_original_task_under_another_name(tmp_path, photographs, make_run):
    run = make_run("mmvet", mm_vet_rows(tmp_path, photographs))
    [path] = exported(tmp_path / "experiments", "lmms-eval", tmp_path)
    task = yaml.safe_load(path.read_text())
    assert task["include"].endswith("/tasks/mmvet/mmvet.yaml")
    assert task["task"] == path.stem == "apiprompt_mmvet_API_x_5_3_LANCZOS_0"
    assert task["dataset_path"] == "imagefolder"
    loaded = datasets.load_dataset(
        task["dataset_path"], **task["dataset_kwargs"], cache_dir=str(tmp_path / "cache")
    )[task["test_split"]]
    assert set(loaded.column_names) >= {"image", "question", "answer", "question_id", "capability"}
    row = loaded[0]
    assert row["capability"] == "ocr,math"  # a text, as on the hub
    assert row["question_id"] == "v1_0"
    with row["image"] as picture, Image.open(run / "v1_0.jpg") as masked:
        assert picture.size == masked.size
    assert "flat" not in loaded.column_names


def test_lmms_evals_other_tasks_get_the_columns_that_they_read(tmp_path, photographs, make_run):
    write_pope(tmp_path / "POPE", photographs)
    make_run("POPE", rows_of(get_dataset("POPE", tmp_path)), "a/pope")
    write_viz_wiz(tmp_path / "VisWiz", photographs)
    make_run("VisWiz", rows_of(get_dataset("VisWiz", tmp_path)), "a/viz")
    own = [{"key": "a", "index": 0, "question": "Which?", "answer": "red"}]
    make_run("imagefolder", own, "a/own")
    lettered = [{"key": "0", "index": 0, "question": "?", "A": "x", "answer": "A",
                 "category": "single", "cycle_category": "1", "dataset_index": 7}]  # fmt: skip
    run = make_run("HR-Bench-4K", lettered, "a/hr")
    hr, own_task, pope, viz = exported(tmp_path / "experiments", "lmms-eval", tmp_path)
    row = read_json_lines(pope.parent / "data" / "metadata.jsonl")[1]
    assert (row["answer"], row["question_id"], row["category"]) == ("no", 2, "random")
    row = read_json_lines(viz.parent / "data" / "metadata.jsonl")[1]
    assert row["answers"] == ["night time"] * 10
    assert row["question_id"] == "VizWiz_val_00000001"
    for path, number in ((pope, 6), (viz, 2)):  # one has a column `image`, one `val` in its names
        kwargs = yaml.safe_load(path.read_text())["dataset_kwargs"]
        loaded = datasets.load_dataset("imagefolder", **kwargs, cache_dir=str(tmp_path / "cache"))
        assert loaded["train"].num_rows == number
        assert isinstance(loaded["train"].features["image"], datasets.Image)
    [row] = read_json_lines(hr.parent / "data" / "rows.jsonl")
    assert base64.b64decode(row["image"]) == (run / "0.jpg").read_bytes()
    assert (row["index"], row["cycle_category"]) == (7, "1")
    assert yaml.safe_load(hr.read_text())["dataset_path"] == "json"
    text = own_task.read_text()
    assert "doc_to_visual: !function functions.doc_to_visual" in text
    assert "exact_match" in text
    compile((own_task.parent / "functions.py").read_text(), "functions.py", "exec")


def test_vlmevalkit_gets_a_table_and_the_official_scorer(tmp_path, photographs, make_run):
    csv.field_size_limit(sys.maxsize)
    run = make_run("mmvet", mm_vet_rows(tmp_path, photographs))
    table, config = exported(run, "vlmevalkit", tmp_path)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["index"] for row in rows] == ["0", "1"]
    picture = base64.b64decode(rows[0]["image"])
    assert picture == (run / "v1_0.jpg").read_bytes()
    assert Image.open(io.BytesIO(picture)).size[0] > 0
    assert rows[0]["answer"] == "7<AND>seven<OR>VII"
    assert rows[0]["category"] == "ocr,math"
    assert json.loads(config.read_text()) == {
        "data": {table.stem: {"class": "MMVet", "dataset": table.stem}}
    }
    assert table.stem.startswith("MMVet_")


def test_vlmevalkit_gets_lettered_options(tmp_path, make_run):
    options = {"choices": ["a cat", "a dog"], "correct_choice_idx": 1}
    run = make_run("A-OKVQA", [{"key": "k", "index": 0, "question": "Which?", **options}])
    table, _ = exported(run, "vlmevalkit", tmp_path)
    with table.open(encoding="utf-8", newline="") as file:
        [row] = csv.DictReader(file, delimiter="\t")
    assert (row["A"], row["B"], row["answer"]) == ("a cat", "a dog", "B")


def test_mmes_questions_share_a_picture_in_vlmevalkit(tmp_path, photographs, make_run):
    write_mme(tmp_path / "MME" / "MME_Benchmark_release_version", photographs)
    run = make_run("MME", rows_of(get_dataset("MME", tmp_path))[:4])
    table, _ = exported(run, "vlmevalkit", tmp_path)
    with table.open(encoding="utf-8", newline="") as file:
        paths = [row["image_path"] for row in csv.DictReader(file, delimiter="\t")]
    assert paths == ["existence/0001.jpg"] * 2 + ["existence/0020.jpg"] * 2


def test_inspect_gets_chat_messages_with_the_pictures_paths(tmp_path, photographs, make_run):
    write_pope(tmp_path / "POPE", photographs)
    run = make_run("POPE", rows_of(get_dataset("POPE", tmp_path))[:2])
    [path] = exported(run, "inspect", tmp_path)
    first, second = read_json_lines(path)
    assert (first["id"], first["target"], second["target"]) == ("random_1", "yes", "no")
    picture, text = first["input"][0]["content"]
    assert picture == {"type": "image", "image": str((run / "random_1.jpg").resolve())}
    assert text["text"].endswith(
        "in the image?\nAnswer the question using a single word or phrase."
    )
    assert first["metadata"]["category"] == "random"
    # a table of these rows, as `datasets` reads JSON lines, keeps them apart
    loaded = datasets.load_dataset(
        "json", data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert loaded.num_rows == 2


def test_fiftyone_gets_groups_of_original_and_masked(tmp_path, photographs, make_run):
    run = make_run("mmvet", mm_vet_rows(tmp_path, photographs))
    samples, script = exported(run, "fiftyone", tmp_path)
    first, second = read_json_lines(samples)
    assert first["slices"]["masked"] == str((run / "v1_0.jpg").resolve())
    assert Path(second["slices"]["original"]).read_bytes() == photographs["square"].read_bytes()
    assert first["map"] is None
    assert first["fields"]["capability"] == ["ocr", "math"]
    compile(script.read_text(), "load.py", "exec")


@pytest.fixture
def pair_of_mm_vet(tmp_path, photographs, make_run):
    """A run of two pictures a sample: the original and the crop."""
    rows = mm_vet_rows(tmp_path, photographs)
    run = make_run("mmvet", rows, render="pair")
    lines = read_json_lines(run / "metadata.jsonl")
    for line in lines:
        (run / f"{line['key']}.crop.jpg").write_bytes(photographs["tall"].read_bytes())
        line |= {"crop_file_name": f"{line['key']}.crop.jpg", "crop_box": [0, 0, 9, 9]}
    write_json_lines(run / "metadata.jsonl", lines)
    return run


def test_inspect_gets_both_pictures_of_a_pair(tmp_path, pair_of_mm_vet):
    [path] = exported(pair_of_mm_vet, "inspect", tmp_path)
    for row in read_json_lines(path):
        *pictures, text = row["input"][0]["content"]
        names = [f"{row['id']}.jpg", f"{row['id']}.crop.jpg"]
        assert [Path(picture["image"]).name for picture in pictures] == names
        assert text["type"] == "text"
        assert "crop_box" not in row["metadata"]


def test_vlmevalkit_gets_both_pictures_of_a_pair_as_lists(tmp_path, pair_of_mm_vet):
    csv.field_size_limit(sys.maxsize)
    table, _ = exported(pair_of_mm_vet, "vlmevalkit", tmp_path)
    with table.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file, delimiter="\t"))
    pictures, names = ast.literal_eval(row["image"]), ast.literal_eval(row["image_path"])
    assert names[1] == "v1_0.crop.jpg"
    for name, picture in zip(("v1_0.jpg", "v1_0.crop.jpg"), pictures, strict=True):
        assert base64.b64decode(picture) == (pair_of_mm_vet / name).read_bytes()


def test_lmms_eval_gets_both_pictures_of_a_pair(tmp_path, pair_of_mm_vet):
    [path] = exported(pair_of_mm_vet, "lmms-eval", tmp_path)
    text = path.read_text()
    assert "doc_to_visual: !function functions.doc_to_visual" in text
    assert "doc_to_text" not in text, "the task's own"
    kwargs = yaml.safe_load(text.replace("!function ", ""))["dataset_kwargs"]
    loaded = datasets.load_dataset("imagefolder", **kwargs, cache_dir=str(tmp_path / "cache"))
    functions = runpy.run_path(str(path.parent / "functions.py"))
    row = loaded["train"][0]
    sizes = [picture.size for picture in functions["doc_to_visual"](row)]
    files = (pair_of_mm_vet / name for name in ("v1_0.jpg", "v1_0.crop.jpg"))
    assert sizes == [head_of(file.read_bytes()).size for file in files]


def test_lmms_evals_tasks_of_pictures_as_text_get_both(tmp_path, make_run, photographs):
    row = {"key": "0", "index": 0, "question": "?", "A": "x", "answer": "A"}
    run = make_run("HR-Bench-4K", [row], render="pair")
    (run / "0.crop.jpg").write_bytes(photographs["tall"].read_bytes())
    [line] = read_json_lines(run / "metadata.jsonl")
    write_json_lines(run / "metadata.jsonl", [line | {"crop_file_name": "0.crop.jpg"}])
    [path] = exported(run, "lmms-eval", tmp_path)
    [row] = read_json_lines(path.parent / "data" / "rows.jsonl")
    functions = runpy.run_path(str(path.parent / "functions.py"))
    sizes = [picture.size for picture in functions["doc_to_visual"](row)]
    assert sizes == [head_of((run / name).read_bytes()).size for name in ("0.jpg", "0.crop.jpg")]


def test_fiftyone_gets_a_crop_as_a_slice_and_maps_where_they_lie(tmp_path, pair_of_mm_vet):
    samples, _ = exported(pair_of_mm_vet, "fiftyone", tmp_path)
    first, _ = read_json_lines(samples)
    assert list(first["slices"]) == ["masked", "crop", "original"]
    assert first["slices"]["crop"].endswith("v1_0.crop.jpg")
    assert first["map_lies_on"] == ["original", "masked"]
    record = (pair_of_mm_vet / "run.yaml").read_text()
    (pair_of_mm_vet / "run.yaml").write_text(record.replace("render: pair", "render: warp"))
    samples, _ = exported(pair_of_mm_vet, "fiftyone", tmp_path)
    assert read_json_lines(samples)[0]["map_lies_on"] == ["original"]


def test_what_is_not_said_is_asked_for(tmp_path):
    with pytest.raises(UsageError, match="--to: say what for"):
        export(ExportConfig(folders=(tmp_path,)), QUIET)
    with pytest.raises(UsageError, match="no folder named"):
        export(ExportConfig(to="inspect"), QUIET)
    with pytest.raises(ApipromptError, match="no run folder"):
        export(ExportConfig(folders=(tmp_path,), to="inspect"), QUIET)
