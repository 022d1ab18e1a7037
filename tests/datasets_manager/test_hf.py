"""`hf:OWNER/NAME`, which `datasets` also takes for the folder of that name."""

from __future__ import annotations

import datasets
import pytest

from datasets_manager import DatasetError, DatasetOptions, canonical_name, get_dataset
from tests.hub_copies import write_repository

ROWS = [
    {"uid": "a/1", "query": "one?", "answer": "x"},
    {"uid": "a/2", "query": "two?", "answer": "y"},
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()


@pytest.fixture
def pictures(photographs):
    return [photographs["wide"].read_bytes(), photographs["square"].read_bytes()]


def test_columns_are_guessed_or_given(tmp_path, pictures):
    write_repository(tmp_path / "me" / "mine", "test", ROWS, pictures)
    samples = get_dataset("hf:me/mine", options=DatasetOptions(key_column="uid"))
    assert samples.name == "hf:me/mine"
    assert [(s.key, s.question) for s in samples] == [("a/1", "one?"), ("a/2", "two?")]
    assert [s.read_image() for s in samples] == pictures
    assert samples[1].extra == {"uid": "a/2", "answer": "y"}
    options = DatasetOptions(image_column="image", question_column="answer", split="test")
    samples = get_dataset("hf:me/mine:default:test", options=options)
    assert [(s.key, s.question) for s in samples] == [("0", "x"), ("1", "y")]
    assert len(get_dataset("hf:me/mine::test")) == 2


def test_a_set_may_have_nothing_but_pictures_and_questions(tmp_path, pictures):
    write_repository(tmp_path / "me" / "mine", "test", [{"text": "What is it?"}] * 2, pictures)
    samples = get_dataset("hf:me/mine")
    assert [(s.key, s.question, dict(s.extra)) for s in samples] == [
        ("0", "What is it?", {}), ("1", "What is it?", {}),
    ]  # fmt: skip


def test_what_cannot_be_guessed_is_listed(tmp_path, pictures):
    folder = write_repository(tmp_path / "me" / "mine", "test", [{"uid": "a"}] * 2, pictures)
    table = next(folder.glob("data/*"))
    with pytest.raises(DatasetError, match=r"--question-column \(all columns: uid, image\)"):
        get_dataset("hf:me/mine")
    options = DatasetOptions(question_column="uid", image_column="uid")
    with pytest.raises(DatasetError, match=r"'uid' does not hold pictures; those that do: image"):
        get_dataset("hf:me/mine", options=options)
    with pytest.raises(DatasetError, match=r"no column 'id' \(there are: uid, image\)"):
        get_dataset("hf:me/mine", options=DatasetOptions(question_column="uid", key_column="id"))
    with pytest.raises(DatasetError, match="split test in the name, but --split train"):
        get_dataset("hf:me/mine::test", options=DatasetOptions(split="train"))
    table.with_name("train-00000-of-00001.parquet").write_bytes(table.read_bytes())
    with pytest.raises(DatasetError, match=r"has the splits train, test; pass --split"):
        get_dataset("hf:me/mine")


@pytest.mark.parametrize("name", ["hf:mine", "hf:../x/y", "hf:me/mine:a:b:c", "hf:"])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(DatasetError, match="expected hf:OWNER/NAME"):
        canonical_name(name)
