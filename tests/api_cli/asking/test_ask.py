"""What is sent, what is kept of the answers, and what a second run still asks."""

from __future__ import annotations

import json
from hashlib import sha256

import datasets
import pytest
import yaml

from api_cli.errors import RunFolderError, UsageError
from api_cli.runs.pictures import decode, encode
from tests.api_cli.asking.conftest import sets, write_pictures, write_run
from tests.api_cli.asking.servers import answer_to, pictures_of, text_of
from tests.conftest import read_json_lines, write_json_lines


@pytest.fixture
def root(tmp_path):
    return write_pictures(
        tmp_path / "pictures", 6, prompt=[" Yes or no?"] * 6, answer=list("abcdef")
    )


@pytest.fixture
def run(root, tmp_path):
    return write_run(root, tmp_path / "out")


def test_a_picture_is_sent_as_the_bytes_that_stand_in_the_folder(run, asking, server):
    [answers] = sets(asking(run))
    assert sorted(server.texts()) == [f"What is {i}? Yes or no?" for i in range(6)]
    for body in server.asked:
        [picture] = pictures_of(body)
        number = text_of(body)[8]
        assert picture == (run / f"k{number}.jpg").read_bytes()
        row = answers.answers[f"k{number}"]
        [sent] = row["sent"]
        assert sent["sha256"] == sha256(picture).hexdigest()
        assert (sent["file_name"], sent["width"], sent["height"]) == (f"k{number}.jpg", 32, 24)
        assert row["answer"] == answer_to(body)
        assert (row["model"], row["finish_reason"]) == ("small-v2", "stop")
        assert (row["prompt_tokens"], row["completion_tokens"]) == (7, 3)
    assert answers.missing == []
    assert answers.questions["k3"]["answer"] == "d"
    assert answers.folder.parent == run / "answers"
    assert answers.folder.name == f"small-{answers.record['digest']}"


def test_what_is_answered_is_never_asked_again(run, asking, server):
    asking(run, range=(0, 4))
    assert len(server.asked) == 4
    report = asking(run)
    assert (report.finished, report.asked_for, len(server.asked)) == (2, 6, 6)
    report = asking(run)
    assert (report.finished, len(server.asked)) == (0, 6)


def test_a_picture_question_or_prompt_that_changed_is_asked_again(run, asking, server):
    [before] = sets(asking(run))
    (run / "k1.jpg").write_bytes((run / "k0.jpg").read_bytes())
    rows = read_json_lines(run / "metadata.jsonl")
    rows[2]["question"] = "Is it new?"
    rows[4]["prompt"] = " One word."
    write_json_lines(run / "metadata.jsonl", rows)
    [after] = sets(asking(run))
    assert sorted(server.texts()[6:]) == [
        "Is it new? Yes or no?", "What is 1? Yes or no?", "What is 4? One word."
    ]  # fmt: skip
    changed = {key for key in after.answers if after.answers[key] != before.answers[key]}
    assert changed == {"k1", "k2", "k4"}
    assert after.questions["k2"]["question"] == "Is it new?"
    assert len(read_json_lines(after.folder / "answers.jsonl")) == 6


@pytest.mark.parametrize(
    "flags",
    [
        {"max_tokens": 7},
        {"temperature": "none"},
        {"seed": 1},
        {"detail": "low"},
        {"extra_body": {"top_k": 1}},
        {"prompt": "hint"},
        {"model": "other"},
        {"max_side": 8},
        {"image_format": "png"},
    ],
)
def test_whatever_shapes_an_answer_has_a_folder_of_its_own(flags, run, asking, server):
    server.models = ["small", "other"]
    [plain] = sets(asking(run, range=(0, 1)))
    [other] = sets(asking(run, range=(0, 1), **flags))
    assert other.folder != plain.folder
    assert len(server.asked) == 2
    assert len(asking(run, range=(0, 1), concurrency=3, rpm=9000, timeout=5).folders) == 1
    assert len(server.asked) == 2, "how it is asked shapes no answer"


def test_settings_reach_the_server(run, asking, server):
    asking(run, range=(0, 1), max_tokens=9, seed=3, detail="low", extra_body={"top_k": 1})
    [body] = server.asked
    assert (body["max_tokens"], body["seed"], body["top_k"], body["temperature"]) == (9, 3, 1, 0)
    assert body["messages"][0]["content"][0]["image_url"]["detail"] == "low"
    asking(run, range=(0, 1), temperature="none", token_field="max_completion_tokens")
    assert "temperature" not in server.asked[1]
    assert server.asked[1]["max_completion_tokens"] == 128


def test_answers_of_other_settings_are_never_mixed_in(run, asking):
    [answers] = sets(asking(run))
    record = yaml.safe_load((answers.folder / "ask.yaml").read_text())
    record["settings"]["max_tokens"] = 5
    (answers.folder / "ask.yaml").write_text(yaml.safe_dump(record))
    with pytest.raises(RunFolderError, match="max_tokens is 128, was 5"):
        asking(run)
    (answers.folder / "ask.yaml").write_text("settings: [1")
    with pytest.raises(RunFolderError, match="not a record"):
        asking(run)


def test_originals_are_encoded_as_the_runs_encode_and_asked_about_once(
    root, tmp_path, asking, server
):
    runs = [write_run(root, tmp_path / "out", name=name) for name in ("5_3", "10_3")]
    png = write_run(root, tmp_path / "out", name="png", image_format="png")
    report = asking(*runs, png, plain=True)
    assert [folder.parents[1].name for folder in report.folders[:3]] == ["5_3", "10_3", "png"]
    plain, plain_png = sets(report)[3:]
    assert plain.folder.parents[1].name.startswith("PLAIN_imagefolder-")
    assert len(server.asked) == 5 * 6
    for answers, encoding in ((plain, ("jpg", 90)), (plain_png, ("png", 95))):
        for i in range(6):
            expected = encode(decode((root / f"{i}.png").read_bytes()), *encoding)
            [sent] = answers.answers[f"k{i}"]["sent"]
            assert sent["sha256"] == sha256(expected).hexdigest()
            assert sent["source_sha256"] == sha256((root / f"{i}.png").read_bytes()).hexdigest()
    assert len({answers.folder.name for answers in sets(report)}) == 1, "the same settings"
    assert asking(*runs, png, plain=True).finished == 0
    another = write_run(root, tmp_path / "out", name="20_3")
    assert asking(another, plain=True).finished == 6, "its own pictures alone"


def test_originals_of_a_dataset_alone_are_those_of_a_run_of_usual_encoding(root, asking, tmp_path):
    report = asking(dataset="imagefolder", data_root=root, range=(1, 4))
    [answers] = sets(report)
    assert set(answers.answers) == set(answers.questions) == {"k1", "k2", "k3"}
    assert answers.folder.parents[1].parent == tmp_path / "out"
    assert answers.record["about"]["quality"] == 95
    assert answers.record["about"]["dataset"] == "imagefolder"


def test_an_original_that_changed_is_asked_about_again(root, asking, server):
    asking(dataset="imagefolder", data_root=root)
    (root / "2.png").write_bytes((root / "3.png").read_bytes())
    assert asking(dataset="imagefolder", data_root=root).finished == 1


def test_dataset_flags_must_agree_with_the_run(run, root, asking, tmp_path):
    with pytest.raises(UsageError, match="--split does not go with run folders"):
        asking(run, split="val")
    assert asking(run, dataset="imagefolder", data_root=root).finished == 6
    moved = root.rename(tmp_path / "moved")
    [_, plain] = sets(asking(run, plain=True, data_root=moved))
    assert len(plain.answers) == 6


def test_shards_share_the_questions_and_the_folder(run, asking, server):
    for index in range(3):
        report = asking(run, shard=(index, 3), range=(1, 6))
    [answers] = sets(report)
    assert sorted(answers.answers) == ["k1", "k2", "k3", "k4", "k5"]
    assert len(server.asked) == 5
    assert sorted(answers.questions) == sorted(answers.answers)


def test_a_picture_the_run_lacks_costs_one_row(root, tmp_path, asking, server):
    run = write_run(root, tmp_path / "out", failed=["k2"])
    (run / "k4.jpg").write_bytes(b"no picture")
    (run / "k5.jpg").unlink()
    report = asking(run)
    [answers] = sets(report)
    assert (report.finished, report.failed, len(server.asked)) == (3, 3, 3)
    assert set(answers.errors) == set(answers.missing) == {"k2", "k4", "k5"}
    assert "OSError: broken" in answers.errors["k2"]["error"]
    assert {row["stage"] for row in answers.errors.values()} == {"read"}
    (run / "k5.jpg").write_bytes((run / "k0.jpg").read_bytes())
    [answers] = sets(asking(run))
    assert set(answers.errors) == {"k2", "k4"}
    assert len(server.asked) == 4


@pytest.mark.parametrize("question", [None, "", "   ", 7])
def test_what_is_no_question_is_not_asked(question, run, asking, server):
    rows = read_json_lines(run / "metadata.jsonl")
    rows[1]["question"] = question
    write_json_lines(run / "metadata.jsonl", rows)
    [answers] = sets(asking(run))
    assert set(answers.errors) == {"k1"}
    assert "question is empty" in answers.errors["k1"]["error"]


def test_a_half_written_answer_is_asked_again(run, asking, server):
    [answers] = sets(asking(run))
    path = answers.folder / "answers.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    [again] = sets(asking(run))
    assert len(server.asked) == 7
    assert len(read_json_lines(path)) == 6
    assert again.missing == []


def test_an_empty_answer_that_was_cut_is_counted_until_it_is_mended(run, asking, server):
    cut = {"message": {"content": None}, "finish_reason": "length"}
    server.reply = {"choices": [cut]}
    assert asking(run, range=(0, 2)).cut_empty == 2
    server.reply = {}
    report = asking(run)
    assert (report.finished, report.cut_empty, report.failed) == (4, 2, 0)
    said_nothing = {"message": {"content": ""}, "finish_reason": "stop"}
    server.reply = {"choices": [said_nothing]}
    report = asking(run, max_tokens=500)
    assert (report.finished, report.cut_empty) == (6, 0)


def test_the_run_folder_still_opens_as_it_is(run, asking, tmp_path):
    asking(run)
    opened = datasets.load_dataset("imagefolder", data_dir=str(run), cache_dir=str(tmp_path / "c"))
    assert opened["train"].num_rows == 6
    assert {"key", "question", "prompt"} <= set(opened["train"].column_names)


def test_a_dry_run_asks_and_writes_nothing(run, asking, server):
    asking(run, dry_run=True)
    assert server.asked == []
    assert not (run / "answers").exists()


def test_what_is_no_run_folder_is_named(tmp_path, asking):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="empty: no run folder"):
        asking(tmp_path / "empty")


def test_a_folder_of_runs_stands_for_them(root, tmp_path, asking):
    for name in ("5_3", "10_3"):
        write_run(root, tmp_path / "out", name=name)
    assert len(asking(tmp_path / "out", range=(0, 1)).folders) == 2


def test_a_missing_model_or_server_is_said_before_anything_is_done(run, asking):
    with pytest.raises(UsageError, match="--model"):
        asking(run, model=None)
    with pytest.raises(UsageError, match="--base-url"):
        asking(run, base_url=None)
    assert not (run / "answers").exists()


def test_keys_of_any_kind_have_their_answers(tmp_path, asking):
    keys = ["a/../../b", "a\u2028b", "con", "x" * 400, "{answer}", "k\n"]
    root = write_pictures(tmp_path / "pictures", 6)
    rows = read_json_lines(root / "metadata.jsonl")
    write_json_lines(
        root / "metadata.jsonl", [r | {"key": k} for r, k in zip(rows, keys, strict=True)]
    )
    run = write_run(root, tmp_path / "out")
    [masked, plain] = sets(asking(run, plain=True, model="org/model: 1"))
    assert set(masked.answers) == set(plain.answers) == set(keys)
    assert masked.folder.parent == run / "answers"
    lines = (masked.folder / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines if line]
