"""Image folders: a table in three formats, a text beside each image, one question for all."""

from __future__ import annotations

import shutil

import pyarrow
import pyarrow.parquet
import pytest

from datasets_manager import DatasetError, DatasetOptions, get_dataset
from tests.conftest import faults_of, write_json_lines

ROWS = [
    {"file_name": "a.jpg", "question": "one, or two?", "key": "first", "score": "1"},
    {"file_name": "sub/b.png", "question": "קר?\n🥶", "key": "b", "score": "2"},
]


def write_table(root, kind):
    if kind == "jsonl":
        write_json_lines(root / "metadata.jsonl", ROWS)
    elif kind == "csv":
        lines = [",".join(ROWS[0]), *(",".join(f'"{v}"' for v in row.values()) for row in ROWS)]
        (root / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), root / "metadata.parquet")


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_a_table_reads_the_same_in_every_format(kind, tmp_path):
    write_table(tmp_path, kind)
    samples = get_dataset("imagefolder", tmp_path)
    assert [(s.key, s.index, s.question) for s in samples] == [
        ("first", 0, "one, or two?"), ("b", 1, "קר?\n🥶"),
    ]  # fmt: skip
    assert samples[1].image == tmp_path / "sub" / "b.png"
    assert samples[1].extra == {"score": "2"}


def test_columns_may_have_other_names(tmp_path):
    write_json_lines(tmp_path / "metadata.jsonl", [{"img": "a.png", "ask": "what?", "id": 7}])
    options = DatasetOptions(image_column="img", question_column="ask", key_column="id")
    [sample] = get_dataset("imagefolder", tmp_path, options)
    assert (sample.key, sample.question, sample.extra) == ("7", "what?", {})
    assert sample.image == tmp_path / "a.png"
    options = DatasetOptions(image_column="img", question_column="ask", key_column="uid")
    with pytest.raises(
        DatasetError, match=r"no 'uid' in any row \(there are: 'img', 'ask', 'id'\)"
    ):
        get_dataset("imagefolder", tmp_path, options)


def test_a_hint_is_asked_instead_of_the_question(tmp_path):
    row = {"file_name": "a.png", "question": "is it right?", "key": "a", "words": "the dog"}
    write_json_lines(tmp_path / "metadata.jsonl", [row | {"hint": "a dog"}, row | {"key": "b"}])
    samples = get_dataset("imagefolder", tmp_path)
    assert [(s.question, s.hint, s.query) for s in samples] == [
        ("is it right?", "a dog", "a dog"), ("is it right?", None, "is it right?"),
    ]  # fmt: skip
    samples = get_dataset("imagefolder", tmp_path, DatasetOptions(query_column="words"))
    assert [s.query for s in samples] == ["the dog", "the dog"]
    samples = get_dataset("imagefolder", tmp_path, DatasetOptions(query_column="hint"))
    assert samples[0].query == "a dog"
    assert samples[1].fault == "sample 1: no 'hint' (there are: 'words')"
    with pytest.raises(
        DatasetError, match=r"no sample has 'clue' for --query-column \(there are: w"
    ):
        get_dataset("imagefolder", tmp_path, DatasetOptions(query_column="clue"))


def test_one_question_for_all_needs_no_table(tmp_path, photographs):
    (tmp_path / "sub").mkdir()
    shutil.copy(photographs["wide"], tmp_path / "cat.JPG")
    shutil.copy(photographs["tall"], tmp_path / "sub" / "cup.png")
    (tmp_path / "notes.md").write_text("no image")
    samples = get_dataset("imagefolder", tmp_path, DatasetOptions(question="What is it?"))
    assert [(s.key, s.question) for s in samples] == [
        ("cat", "What is it?"), ("sub/cup", "What is it?"),
    ]  # fmt: skip
    assert samples[1].read_image() == photographs["tall"].read_bytes()


def test_one_question_for_all_goes_before_the_tables(tmp_path):
    write_table(tmp_path, "jsonl")
    samples = get_dataset("imagefolder", tmp_path, DatasetOptions(question="What is it?"))
    assert [s.question for s in samples] == ["What is it?"] * 2
    assert samples[0].extra == {"score": "1", "question": "one, or two?"}


def test_a_text_beside_each_image_is_its_question(tmp_path, photographs):
    for name, question in (("a", "one?\n"), ("b", "two?")):
        shutil.copy(photographs["wide"], tmp_path / f"{name}.jpg")
        (tmp_path / f"{name}.txt").write_text(question)
    samples = get_dataset("imagefolder", tmp_path)
    assert [(s.key, s.question) for s in samples] == [("a", "one?"), ("b", "two?")]
    (tmp_path / "b.txt").unlink()
    (tmp_path / "c.jpg").write_bytes(b"")
    (tmp_path / "c.txt").write_bytes(b"caf\xe9?")
    (tmp_path / "d.txt").write_text("of no image")
    samples = get_dataset("imagefolder", tmp_path)
    faults = faults_of(samples)
    assert faults.keys() == {"b", "c"}
    assert "b.txt not found" in faults["b"]
    assert "write b.jpg's question into it" in faults["b"]
    assert "c.txt cannot be read: 'utf-8'" in faults["c"]
    assert samples.notes == ["left out: 1 text (d.txt)"]


def test_images_without_a_question_are_named(tmp_path, photographs):
    shutil.copy(photographs["wide"], tmp_path)
    with pytest.raises(DatasetError, match=r"metadata\.jsonl not found in .*one --question for"):
        get_dataset("imagefolder", tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("file_name,question\na.png,one, or two?\n", r"line 2: not as many fields as the header's"),
        ("file_name,question\na.png\n", r"line 2: not as many fields as the header's 2"),
        ('file_name,question\na.png,"what\n', r"line 2: not valid CSV"),
        ("file_name,text\na.png,what?\n", r"csv: no 'question' in any row \(there are: 'file_n"),
    ],
)
def test_a_csv_that_is_not_so_is_named_with_its_place(content, says, tmp_path):
    (tmp_path / "metadata.csv").write_text(content)
    with pytest.raises(DatasetError, match=says):
        get_dataset("imagefolder", tmp_path)


def test_two_tables_are_one_too_many(tmp_path):
    write_table(tmp_path, "jsonl")
    write_table(tmp_path, "csv")
    with pytest.raises(DatasetError, match=r"holds metadata\.jsonl and metadata\.csv; leave one"):
        get_dataset("imagefolder", tmp_path)


def test_a_table_without_rows_is_a_dataset_without_samples(tmp_path):
    (tmp_path / "metadata.jsonl").write_text("\n")
    assert len(get_dataset("imagefolder", tmp_path)) == 0
