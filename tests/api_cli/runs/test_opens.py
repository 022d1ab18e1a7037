"""A run folder opens in `datasets` as it is, whatever the keys, the columns and their values.

`python -m tests.api_cli.runs.test_opens 5000` tries so many.
"""

from __future__ import annotations

import datetime
import io
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from huggingface_hub import DatasetCard
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from api_cli.runs.columns import Columns, column_name, plain_row, text
from api_cli.runs.names import SampleNames, safe_name
from api_cli.runs.run_folder import RunFolder
from tests.conftest import read_json_lines, write_json_lines

Row = Mapping[str, Any]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def picture(side: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, rows: Mapping[str, Row], groups: int = 1) -> RunFolder:
    """A run folder of rows under keys, their columns named as a dataset's are; saved in groups."""
    names = SampleNames(rows)
    folder = RunFolder(path, {"dataset": "d"}, {}, image_format="png", names=names)
    for number, (key, row) in enumerate(rows.items()):
        saved = folder.save_images(key, {"file_name": picture(number + 1)})
        folder.save_beside(key, ".cls_map.jpg", picture(1))
        folder.save_beside(key, ".npy", b"map")
        columns = {column_name(name): value for name, value in row.items()}
        folder.add({**saved, "key": key, "question": "?", **columns, "image_sha256": "0"})
        if (number + 1) % max(1, len(rows) // groups) == 0:
            folder.close()
    folder.close()
    return folder


def read(path: Path, *how: str) -> Any:
    with tempfile.TemporaryDirectory() as cache:
        data = {"data_dir": str(path)} if how else {}
        loaded = datasets.load_dataset(*(how or (str(path),)), **data, cache_dir=cache)
        assert list(loaded) == ["train"]
        return loaded["train"].with_format(None), list(loaded["train"])


def alike(value: Any, there: Any) -> bool:
    """Whether `datasets` gives what was written, its own habits aside."""
    if value is None or there is None:
        return value is there
    if isinstance(there, datetime.datetime):  # dates in all rows, which Arrow reads as times
        return isinstance(value, str) and value[:10] == there.date().isoformat()
    if isinstance(value, dict):
        return all(alike(value.get(name), inner) for name, inner in there.items())
    if isinstance(value, list):
        return len(value) == len(there) and all(map(alike, value, there))
    if isinstance(value, float) and math.isnan(value):
        return math.isnan(there)
    return bool(value == there)


def check(rows: Mapping[str, Row], groups: int = 1) -> None:
    """Write, open by both ways, compare: every row, every column, every value and picture."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "run"
        write(path, rows, groups)
        manifest = read_json_lines(path / "metadata.jsonl")
        assert [row["key"] for row in manifest] == [text(key) for key in rows]
        columns = Columns()
        for row in rows.values():
            columns.add(plain_row({column_name(name): value for name, value in row.items()}))
        card = DatasetCard.load(path / "README.md").data.to_dict()["dataset_info"]["features"]
        for how in (("imagefolder",), ()):
            loaded, there = read(path, *how)
            assert set(loaded.column_names) >= {"image", "key", *columns.describe()}
            assert len(there) == len(manifest)
            for number, (row, known) in enumerate(zip(manifest, there, strict=True)):
                assert known["image"].size == (number + 1, 1)
                known["file_name"] = row["file_name"]
                for name, value in row.items():
                    assert alike(value, known[name]), (name, value, known[name])
            # `datasets` of old reads times where the card says so as well
            assert set(datasets.Features._from_yaml_list(card)) == set(loaded.column_names)
            assert datasets.Features._from_yaml_list(card) == loaded.features


def column(*values: Any) -> dict[str, Row]:
    return {str(number): {"a": value} for number, value in enumerate(values)}


COLUMNS = {
    "several kinds": column("yes", 3, ["a", "b"], None, {"x": [1]}, True, 0.5),
    "several kinds in lists": column(["a", 1], [["b"]], []),
    "several kinds in mappings": column({"x": 1, "y": "z"}, {"x": "1"}, {"y": None}),
    "other fields each": column(*({f"k{i}": i, f"l{i}": i} for i in range(150))),
    "integers and floats": column(1, 2.5, -3, 2**53 + 1),
    "integers and some floats": column(1, 2.5, -3),
    "yes and 1": column(True, 1),
    "large integers": column(2**63 - 1, -(2**63), 2**63, 10**30),
    "not a number": column(math.nan, math.inf, -math.inf, 1, None),
    "no unicode": column("\ud800", "caf\udce9", ["\udfff"], {"\udc00": "\0"}),
    "nothing at all": column(None, None),
    "empty lists": column([], [], [[]], [None]),
    "lists that begin with nothing": column(
        [None, 1], [None, None], [2, None], [None], [[None, "x"]]
    ),
    "lists with gaps": column([1, None], [None], [2, None, 3]),
    "empty mappings": column({}, {"a": {}}, [{}]),
    "some empty mappings": column({}, {"a": 1}),
    "dates": column("2024-01-01", "2024-01-02 10:00:00"),
    "dates and not": column("2024-01-01", "2024-01-02x"),
    "deep": column([[[[[[[[[[[["x"]]]]]]]]]]]], {"a": {"b": {"c": [{"d": [[{"e": [[1]]}]]}]}}}),
    "names of files": column(
        {"file_name": "x.jpg", "mask_file_name": "y"},
        {"file_names": ["z"], "n": [{"file_name": 1}]},
    ),
    "NumPy's": column(np.int64(3), np.float32(0.5), np.arange(3), np.array("x")),
    "others": column((1, 2), {"set"}, b"\xff\x00", datetime.date(2024, 1, 1), Path("x")),
    "sometimes": {"1": {}, "2": {"a": 1}, "3": {"b": None}, "4": {"c": []}},
}
NAMES = [
    *("file_name", "mask_file_name", "file_names", "dataset_file_name", "dataset_mask_filename"),
    *("image", "dataset_image", "key", "question", "images", "label", "", "dataset_", "Image"),
    *("a", "A", "\0", "\ud800", "a\nb", "---", "a: b", "image_sha256", "flat", "_file_name", "é"),
    *(
        "file_name_",
        "dataset_filename",
        "dataset_filename_",
        "0",
        "null",
        "yes",
        "train",
        "x" * 300,
    ),
]
KEYS = [
    *("validation_Art_1", "dev_Math_2", "img_3", "test-4", "train", "a/test/b", "COCO_val2014_1"),
    *("test.json", "a.csv", "b.csv", "c.csv", "d.mp4", "e.ZIP", "2024-01-01", "metadata", "README"),
    *(
        "A",
        "a",
        "a.cls_map",
        "caf\udce9",
        "",
        ".",
        "x" * 300,
        "data/train-00000-of-00001",
        "[test]",
        "$HOME",
        "a${PATH}b",
    ),
    *("a::b", "http://x/y", "~", "__pycache__/x", "%41", "#", "C:\\x", "a\0b", "\N{PILE OF POO}"),
]


@pytest.mark.parametrize("rows", COLUMNS.values(), ids=COLUMNS)
def test_columns_of_every_kind_open(rows):
    check(rows)


def test_a_datasets_columns_keep_apart_from_files_and_from_the_manifests_own():
    assert len({column_name(name) for name in NAMES}) == len(NAMES)
    free = [name for name in NAMES if column_name(name) == name]
    assert {"images", "label", "Image", "a", "A", "file_name_", "_file_name"} - set(free) == {
        "_file_name"
    }
    assert column_name("image") == "dataset_image"
    assert column_name("mask_file_name") == "dataset_mask_filename"
    check({"1": dict.fromkeys(NAMES, "x"), "2": {name: name for name in NAMES}})


def test_keys_of_every_kind_open():
    check({key: {"a": number} for number, key in enumerate(KEYS)})


@pytest.mark.parametrize("key", ["a.csv", "validation_1", "x.mp4", "y.json"])
def test_a_single_sample_opens(key):
    check({key: {"a": 1}})


def test_lists_in_every_row_stay_lists_and_texts_stay_texts(tmp_path):
    answers = [["yes", "no"], ["2"]]
    rated = [{"answer": "yes", "answer_id": 1}, {"answer": "no", "answer_id": 2}]
    rows = {str(i): {"answers": answers[i], "rated": rated[: i + 1], "b": "3"} for i in range(2)}
    rows["1"]["b"] = 3
    write(tmp_path, rows)
    manifest = read_json_lines(tmp_path / "metadata.jsonl")
    assert [row["answers"] for row in manifest] == answers
    assert [row["rated"] for row in manifest] == [rated[:1], rated]
    assert [row["b"] for row in manifest] == ["3", "3"]


def test_what_becomes_mixed_later_or_by_another_process_is_mended(tmp_path):
    write(tmp_path, {"1": {"a": 1}})
    write(tmp_path, {"2": {"a": 2.5}})
    first = write(tmp_path, {"3": {"a": 3}})
    write(tmp_path, {"4": {"a": ["x"]}})
    first.add({"file_name": "3.png", "key": "5", "question": "?", "a": {}, "image_sha256": "0"})
    first.close()
    values = [row["a"] for row in read_json_lines(tmp_path / "metadata.jsonl")]
    assert values == ["1.0", "2.5", "3.0", '["x"]', "{}"]
    assert len(read(tmp_path, "imagefolder")[1]) == 5


def test_a_killed_runs_mixed_rows_are_mended_by_the_next(tmp_path):
    write(tmp_path, {"1": {"a": 1}, "2": {"a": 1}})
    rows = read_json_lines(tmp_path / "metadata.jsonl")
    write_json_lines(tmp_path / "metadata.jsonl", [rows[0], rows[1] | {"a": ["x"]}])
    write(tmp_path, {})
    assert [row["a"] for row in read_json_lines(tmp_path / "metadata.jsonl")] == ["1", '["x"]']


def test_what_only_rows_far_down_have_opens_as_well(tmp_path):
    number = 120
    pad = "x" * 100_000  # twelve megabytes in all
    last: dict[str, Any] = {"a": "text", "b": [1], "c": {"x": "y"}, "d": "no date", "e": 0.5}
    rows: dict[str, Row] = {
        f"{i:03}": {"pad": pad, "a": None, "b": [], "c": {}, "d": "2024-01-01", "e": 1}
        if i < number - 2
        else {"pad": pad, **last}
        for i in range(number)
    }
    write(tmp_path, rows, groups=7)
    manifest = read_json_lines(tmp_path / "metadata.jsonl")
    assert len(manifest) == number
    assert (tmp_path / "metadata.jsonl").stat().st_size > 11_000_000
    there = read(tmp_path, "imagefolder")[1]
    by_key = {row["key"]: row for row in there}
    assert {name: by_key["119"][name] for name in last} == last
    assert by_key["000"]["a"] is None
    before = (tmp_path / "metadata.jsonl").stat().st_mtime_ns
    write(tmp_path, {})
    assert (tmp_path / "metadata.jsonl").stat().st_mtime_ns == before, "once is enough"


@pytest.mark.parametrize(
    "name", ["my-test-model", "eval", "val/dev", "gpt-4.1-train", "model.json"]
)
def test_what_later_commands_put_into_the_folder_does_not_matter(name, tmp_path):
    write(tmp_path, column(1, 2))
    answers = tmp_path / "answers" / f"{safe_name(name)}-0123abcd"
    answers.mkdir(parents=True)
    for file in ("answers.jsonl", "errors.jsonl", "scores.jsonl", "sheet.jpg", "ask.yaml"):
        (answers / file).write_text("{}\n")
    for how in (("imagefolder",), ()):
        assert [row["a"] for row in read(tmp_path, *how)[1]] == [1, 2]


def test_a_card_of_the_users_own_stays(tmp_path):
    write(tmp_path, column(1))
    (tmp_path / "README.md").write_text("mine")
    write(tmp_path, {"b": {"z": 2}})
    assert (tmp_path / "README.md").read_text() == "mine"


texts = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    ["2024-01-01", "\ud800", "\\ud800", "null", "test", "file_name", "a.csv"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars | st.integers(-(2**70), 2**70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["a", "b", "c", *NAMES]) | texts
keys = st.sampled_from(KEYS) | texts
tables = st.dictionaries(keys, st.dictionaries(names, values, max_size=4), min_size=1, max_size=6)


def promise(examples: int) -> Callable[[], None]:
    """The promise, over so many examples."""

    @settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(tables, st.integers(1, 3))
    @example(column("yes", 3, ["a"]), 1)
    def opens(rows: Mapping[str, Row], groups: int) -> None:
        check(rows, groups)

    return opens


@pytest.mark.slow
def test_whatever_the_keys_columns_and_values_the_folder_opens():
    promise(12)()


@given(st.lists(st.dictionaries(names, values, max_size=3), max_size=5))
def test_rows_are_fit_for_good(rows):
    columns, again = Columns(), Columns()
    row: Row
    plain = [plain_row(row) for row in rows]
    for row in plain:
        columns.add(row)
    fitted: Sequence[Row] = [columns.fit(row) for row in plain]
    for fit in fitted:
        again.add(fit)
    assert not again.mixed
    assert json.dumps([again.fit(row) for row in fitted]) == json.dumps(fitted)
    assert again.describe() == columns.describe()


if __name__ == "__main__":
    datasets.disable_progress_bars()
    promise(int(sys.argv[1]))()
    print(f"{sys.argv[1]} examples: the folder opens with all of them")
