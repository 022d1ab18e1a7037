"""`hf:OWNER/NAME`, which `datasets` also takes for the folder of that name."""

from __future__ import annotations

from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from datasets_manager import DatasetError, DatasetOptions, Sample, canonical_name, get_dataset
from datasets_manager.arrow import StreamedTable
from datasets_manager.groups import Groups
from datasets_manager.tables import Columns, one_sample_a_row
from tests.conftest import faults_of
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
    with pytest.raises(DatasetError, match=r"--question-column, .*\(all columns: uid, image\)"):
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


def test_one_question_for_all_and_a_column_to_ask_instead(tmp_path, pictures):
    write_repository(tmp_path / "me" / "mine", "test", ROWS, pictures)
    options = DatasetOptions(question="what is it?", query_column="answer")
    samples = get_dataset("hf:me/mine", options=options)
    assert [(s.question, s.query) for s in samples] == [("what is it?", "x"), ("what is it?", "y")]
    with pytest.raises(DatasetError, match="no column 'hint'"):
        get_dataset("hf:me/mine", options=DatasetOptions(query_column="hint"))


def write_with_media(folder, pictures):
    """A repository of three rows whose other columns hold pictures, sound and bytes."""
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "question": datasets.Value("string"),
            "crops": datasets.List(datasets.Image()),
            "regions": datasets.List({"label": datasets.Value("string"), "crop": datasets.Image()}),
            "scene": {"depth": datasets.Image()},
            "sound": datasets.Audio(decode=False),
            "raw": datasets.Value("binary"),
            "kind": datasets.ClassLabel(names=["photo", "drawing"]),
        }
    )
    broken = {"bytes": b"broken", "path": "c.png"}
    row = {
        "image": {"bytes": pictures[0], "path": None},
        "question": "what?",
        "crops": [broken, broken],
        "regions": [{"label": "a", "crop": broken}],
        "scene": {"depth": broken},
        "sound": broken,
        "raw": b"\xff\x00",
        "kind": 1,
    }
    table = pyarrow.Table.from_pylist([row] * 3, schema=features.arrow_schema)
    (folder / "data").mkdir(parents=True)
    pyarrow.parquet.write_table(table, folder / "data" / "train-00000-of-00001.parquet")


@pytest.mark.parametrize("streaming", [False, True])
def test_columns_that_nobody_asked_for_are_never_decoded(streaming, tmp_path, pictures):
    write_with_media(tmp_path / "me" / "mine", pictures)
    samples = get_dataset("hf:me/mine", options=DatasetOptions(streaming=streaming))
    assert [s.read_image() for s in samples] == pictures[:1] * 3
    assert [dict(s.extra) for s in samples] == [{"kind": 1}] * 3
    [note] = samples.notes
    assert note.endswith(
        "left out: columns of pictures or other bytes (crops, regions, scene, sound, raw)"
    )


def test_a_table_beside_pictures_may_hold_pictures_itself(tmp_path, pictures):
    write_with_media(tmp_path / "me" / "mine", pictures)
    [file] = tmp_path.glob("me/mine/data/*")
    table = pyarrow.parquet.read_table(file)
    names = pyarrow.array(["a.png", "b.png", "c.png"])
    table = table.append_column("file_name", names)
    (tmp_path / "own").mkdir()
    pyarrow.parquet.write_table(table, tmp_path / "own" / "metadata.parquet")
    samples = get_dataset("imagefolder", tmp_path / "own")
    assert [dict(s.extra) for s in samples] == [{"kind": 1}] * 3
    assert "bytes (image, crops, regions, scene, sound, raw)" in samples.notes[0]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_value_that_is_no_text_is_one_samples_fault(streaming, tmp_path, pictures):
    rows: list[dict[str, Any]] = [
        {"question": None, "uid": 1.0},
        {"question": "what?", "uid": None},
        {"question": "what?", "uid": 3.0},
    ]
    write_repository(tmp_path / "me" / "mine", "test", rows, pictures[:1] * 3)
    options = DatasetOptions(key_column="uid", streaming=streaming)
    samples = get_dataset("hf:me/mine", options=options)
    assert [s.key for s in samples] == ["1", "(sample 1)", "3"]
    assert [fault.split(", ")[-1] for fault in faults_of(samples).values()] == [
        "row 0: question is empty", "row 1: uid is empty",
    ]  # fmt: skip


def test_a_column_of_pictures_is_no_question(tmp_path, pictures):
    write_repository(tmp_path / "me" / "mine", "test", [{"text": "What is it?"}] * 2, pictures)
    samples = get_dataset("hf:me/mine", options=DatasetOptions(question_column="image"))
    assert all("image is no text but a dict" in fault for fault in faults_of(samples).values())
    assert len(faults_of(samples)) == 2


def test_conversations_are_questions(tmp_path, pictures):
    talk = [{"from": "human", "value": "<image>\nWhere?"}, {"from": "gpt", "value": "left"}]
    write_repository(tmp_path / "me" / "mine", "test", [{"conversations": talk}] * 2, pictures)
    samples = get_dataset("hf:me/mine")
    assert [s.question for s in samples] == ["Where?"] * 2
    assert samples[0].extra["conversations"] == talk


def test_streaming_fetches_what_is_needed(tmp_path, pictures, monkeypatch):
    """Pictures come by the group of rows, each fetched once, and nothing is copied."""
    rows = [{"uid": str(i), "query": f"{i}?"} for i in range(40)]
    folder = write_repository(tmp_path / "me" / "mine", "test", rows, pictures * 20)
    [file] = folder.glob("data/*")
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(file), file, row_group_size=8)
    fetched = []
    read = pyarrow.parquet.ParquetFile.read_row_group

    def watch(self, group, columns, **options):
        fetched.append((group, *columns))
        return read(self, group, columns, **options)

    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "read_row_group", watch)
    options = DatasetOptions(streaming=True, key_column="uid")
    samples = get_dataset("hf:me/mine", options=options)
    assert [s.key for s in samples] == [str(i) for i in range(40)]
    assert fetched == []
    for sample in samples[14:20]:
        assert sample.read_image() == pictures[sample.index % 2]
    assert samples[15].extra["uid"] == "15"
    assert fetched == [(1, "image"), (2, "image"), (1, "uid")]
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_streaming_many_files_keeps_few_groups(tmp_path, pictures):
    """Sets larger than the disk have many files, and memory must not grow with them."""
    folder = write_repository(tmp_path / "me" / "mine", "test", ROWS, pictures)
    [file] = folder.glob("data/*")
    for n in range(1, 12):
        (file.parent / f"test-{n:05d}-of-00012.parquet").write_bytes(file.read_bytes())
    groups = Groups(3 * sum(map(len, pictures)))
    tables = [StreamedTable(str(path), groups) for path in sorted(folder.glob("data/*"))]
    listed = one_sample_a_row(tables, Columns(question="query"))
    samples = [sample for sample in listed if isinstance(sample, Sample)]
    assert len(samples) == 24
    assert [s.read_image() for s in samples] == pictures * 12
    assert 0 < groups.bytes <= 3 * sum(map(len, pictures))


def test_only_parquet_is_streamed(tmp_path):
    folder = tmp_path / "me" / "mine"
    folder.mkdir(parents=True)
    (folder / "test.jsonl").write_text('{"question": "what?"}\n')
    with pytest.raises(DatasetError, match=r"only parquet files can be streamed.*test\.jsonl"):
        get_dataset("hf:me/mine", options=DatasetOptions(streaming=True))
