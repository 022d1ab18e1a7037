"""What is put around a question, and which pictures go with it."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from api_cli.asking.question import of_samples
from api_cli.asking.template import Template, read_template, shipped_prompts
from api_cli.errors import RunFolderError, UsageError
from api_cli.runs.pictures import decode, encode
from datasets_manager import DatasetError, Sample
from datasets_manager.tables import Extra
from tests.api_cli.asking.conftest import sets, write_pictures, write_run
from tests.api_cli.asking.servers import pictures_of
from tests.conftest import read_json_lines, write_json_lines
from tests.layouts import write_mmmu


@pytest.fixture
def root(tmp_path):
    return write_pictures(tmp_path / "pictures", 3, prompt=["\nOne word."] * 3)


@pytest.fixture
def run(root, tmp_path):
    return write_run(root, tmp_path / "out")


@pytest.mark.parametrize("path", shipped_prompts(), ids=lambda path: path.stem)
def test_every_shipped_prompt_holds_the_question_and_the_sets_own_prompt(path):
    template = read_template(path.stem)
    text = template.fill("Where is {it}?", " A or B?", "mauve")
    assert "Where is {it}? A or B?" in text
    assert ("mauve" in text) == template.takes_answer


def test_a_file_may_say_system_text_suffix_and_images(tmp_path, run, asking, server):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "system: Be brief.\ntext: 'Q: {question} {json}{prompt}'\nsuffix: ' (yes/no)'\n"
        "images: [masked, masked]\n"
    )
    [answers] = sets(asking(run, prompt=str(path), range=(0, 1)))
    [body] = server.asked
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert server.texts() == ["Q: What is 0? {json} (yes/no)"]
    assert len(pictures_of(body)) == 2
    assert answers.record["prompt"] == str(path)
    assert answers.settings["prompt"]["suffix"] == " (yes/no)"
    path.write_text(path.read_text().replace("brief", "long"))
    assert asking(run, prompt=str(path), range=(0, 1)).finished == 1, "another prompt"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("txt: a", "unknown key txt, did you mean text"),
        ("text: [a]", "text: expected a text"),
        ("images: [orignal]", "images: expected a list"),
        ("images: []", "images: expected a list"),
        ("text: '{qestion}'", "nothing is known as {qestion}, did you mean question"),
        ("- a", "expected keys and values"),
        ("a: [", "not YAML"),
    ],
)
def test_a_prompt_that_is_wrong_says_what_and_where(content, says, tmp_path, run, asking):
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    with pytest.raises(UsageError) as raised:
        asking(run, prompt=str(path))
    assert says in str(raised.value)
    assert str(path) in str(raised.value)


def test_an_unknown_prompt_lists_the_shipped_ones(run, asking):
    with pytest.raises(
        UsageError,
        match="highlighted, hint, iterative, plain, step_by_step, with_crop, with_original",
    ):
        asking(run, prompt="hnit")


def test_braces_of_a_question_or_answer_are_its_own():
    template = Template(text="{question}|{answer}")
    assert template.fill("{answer} {prompt}", "p", "{question}") == "{answer} {prompt}|{question}"


def test_the_original_goes_before_the_masked_picture(root, run, asking, server):
    [masked, plain] = sets(asking(run, plain=True, prompt="with_original", range=(1, 2)))
    original = encode(decode((root / "1.png").read_bytes()), "jpg", 90)
    sent = [pictures_of(body) for body in server.asked]
    assert sorted(sent) == sorted([[original, (run / "k1.jpg").read_bytes()], [original, original]])
    assert [picture["file_name"] for picture in masked.answers["k1"]["sent"]] == ["1.jpg", "k1.jpg"]
    assert len(plain.answers["k1"]["sent"]) == 2
    assert asking(run, plain=True, prompt="with_original", range=(1, 2)).finished == 0


def test_pictures_of_a_row_are_sent_in_the_order_of_their_columns(run, asking, server):
    rows = read_json_lines(run / "metadata.jsonl")
    rows[0] = {"crop_file_name": "k0.crop.jpg", **rows[0]}
    write_json_lines(run / "metadata.jsonl", rows)
    (run / "k0.crop.jpg").write_bytes((run / "k2.jpg").read_bytes())
    asking(run, range=(0, 1))
    expected = [(run / name).read_bytes() for name in ("k0.jpg", "k2.jpg")]
    assert pictures_of(server.asked[0]) == expected


def test_a_second_round_shows_the_first_answer(run, asking, server):
    [first] = sets(asking(run, range=(0, 2)))
    report = asking(run, prompt="iterative", answers_of=first.folder.name)
    [second] = sets(report)
    assert (
        f"You answered this before: {first.answers['k1']['answer']}"
        in (second.answers["k1"]["text"])
    )
    assert set(second.errors) == {"k2"}
    assert "no answer of the first round" in second.errors["k2"]["error"]
    # a first answer that changed is shown again
    rows = read_json_lines(first.folder / "answers.jsonl")
    rows[0]["answer"] = "changed"
    write_json_lines(first.folder / "answers.jsonl", rows)
    assert asking(run, prompt="iterative", answers_of=str(first.folder)).finished == 1


def test_a_second_round_and_its_prompt_go_together(run, asking):
    with pytest.raises(UsageError, match="--answers-of"):
        asking(run, prompt="iterative")
    with pytest.raises(UsageError, match=r"shows no \{answer}"):
        asking(run, answers_of="small-00000000")
    with pytest.raises(RunFolderError, match="holds no answers"):
        asking(run, prompt="iterative", answers_of="small-00000000")


@pytest.fixture
def mmmu(tmp_path, photographs):
    write_mmmu(tmp_path / "MMMU" / "MMMU", photographs)
    return tmp_path


def several_of(run):
    """The rows of a question about several images: its id, and the rows in order."""
    rows = read_json_lines(run / "metadata.jsonl")
    shared = next(row["id"] for row in rows if row["key"] != row["id"])
    return shared, [row for row in rows if row["id"] == shared]


def test_images_of_one_question_are_one_request_in_their_order(mmmu, tmp_path, asking, server):
    run = write_run(mmmu, tmp_path / "out", dataset="MMMU", source="disk")
    path = run / "metadata.jsonl"
    write_json_lines(path, read_json_lines(path)[::-1])  # rows stand as they were finished
    [masked, plain] = sets(asking(run, plain=True))
    shared, rows = several_of(run)
    assert len(rows) > 1
    rows.sort(key=lambda row: row["image_number"])
    sent = [picture["file_name"] for picture in masked.answers[shared]["sent"]]
    assert sent == [row["file_name"] for row in rows]
    assert len(plain.answers[shared]["sent"]) == len(rows)
    assert set(masked.answers) == {row["id"] for row in read_json_lines(path)}
    assert set(plain.answers) == set(masked.answers) == set(masked.questions)
    assert masked.answers[shared]["text"] == rows[0]["question"] + rows[0]["prompt"]
    assert len(server.asked) == 2 * len(masked.answers)


@pytest.mark.parametrize("lost", ["last failed", "first failed", "out of range"])
def test_a_question_one_of_whose_images_is_missing_is_missing(lost, mmmu, tmp_path, asking):
    whole = write_run(mmmu, tmp_path / "whole", dataset="MMMU", source="disk")
    shared, rows = several_of(whole)
    failed = {"last failed": rows[-1]["key"], "first failed": rows[0]["key"]}.get(lost, "")
    run = write_run(mmmu, tmp_path / "out", dataset="MMMU", source="disk", failed=[failed])
    if not failed:
        kept = [row for row in read_json_lines(run / "metadata.jsonl") if row != rows[-1]]
        write_json_lines(run / "metadata.jsonl", kept)
    [masked, plain] = sets(asking(run, plain=True))
    assert masked.missing == [shared]
    assert set(masked.errors) == {shared}
    assert shared in plain.answers


def test_a_failed_sample_keeps_no_other_from_being_asked(tmp_path, asking):
    keys = ["cat", "cat_1", "cat_2", "dog"]
    root = write_pictures(tmp_path / "pictures", 4, key=keys)
    run = write_run(root, tmp_path / "out", failed=["cat_1", "dog"])
    [answers] = sets(asking(run))
    assert set(answers.answers) == {"cat", "cat_2"}
    assert set(answers.errors) == {"cat_1", "dog"}


def test_what_a_run_would_not_mask_is_not_asked_about_either(tmp_path, server, asking):
    root = write_pictures(tmp_path / "pictures", 3, key=["a", "a", "b"])
    [plain] = sets(asking(dataset="imagefolder", data_root=root))
    assert set(plain.answers) == {"a", "b"}
    [(key, row)] = plain.errors.items()
    assert key == "a (sample 1)"
    assert "share the key 'a'" in row["error"]
    assert len(server.asked) == 2


def test_columns_that_cannot_be_read_cost_their_sample_alone():
    def unreadable():
        raise DatasetError("row 0: date cannot be read")

    samples = [Sample("a", 0, b"", "What?", Extra(unreadable)), Sample("b", 1, b"", "Who?")]
    [(first, row), (second, _)] = of_samples(samples)
    assert "date cannot be read" in first.fault
    assert row == {"key": "a", "index": 0, "question": "What?"}
    assert (second.key, second.fault) == ("b", "")


def test_a_failed_sample_stands_at_its_own_place_of_the_range(tmp_path, asking):
    root = write_pictures(tmp_path / "pictures", 4)
    run = write_run(root, tmp_path / "out", failed=["k0", "k3"])
    [first] = sets(asking(run, range=(0, 2)))
    assert (set(first.answers), set(first.errors)) == ({"k1"}, {"k0"})
    [both] = sets(asking(run, range=(2, 4)))
    assert (set(both.answers), set(both.errors)) == ({"k1", "k2"}, {"k0", "k3"})


def test_the_text_a_row_was_asked_with_stands_beside_its_answer(run, asking):
    [answers] = sets(asking(run))
    row = answers.answers["k0"]
    assert row["text"] == "What is 0?\nOne word."
    assert row["sent"][0]["sha256"] == sha256((run / "k0.jpg").read_bytes()).hexdigest()
    assert "What is 0?" in json.dumps(row)
