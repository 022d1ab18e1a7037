"""What one row's fault costs: one sample, which says what is wrong; the others stay as they are."""

from __future__ import annotations

import json
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from datasets_manager import Dataset, DatasetError, DatasetOptions, Sample, get_dataset
from tests.conftest import faults_of, write_json_lines

GOOD = {"file_name": "a.png", "question": "what?"}
CONVERSATION = [
    {"from": "system", "value": "You are kind."},
    {"from": "human", "value": "<image>\nWhere is it?"},
    {"from": "gpt", "value": "left"},
]


def read(tmp_path, rows, **options):
    write_json_lines(tmp_path / "metadata.jsonl", rows)
    return get_dataset("imagefolder", tmp_path, DatasetOptions(**options))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": None}, "question is empty"),
        ({"question": ""}, "question is empty"),
        ({"question": " \n"}, "question is empty"),
        ({"question": float("nan")}, "question is empty"),
        ({"question": "<image>"}, "the question is empty"),
        ({"question": 7}, "question is no text but a number: 7"),
        ({"question": True}, "question is no text but a bool: True"),
        ({"question": ["what?"]}, "question is no text but a list: ['what?']"),
        ({"question": {"text": "what?"}}, "question is no text but a dict"),
        ({"question": "\ud800?"}, "question is no text in Unicode: surrogates not allowed"),
        ({"file_name": None}, "file_name is empty"),
        ({"file_name": ""}, "file_name is empty"),
        ({"file_name": ["a.png"]}, "file_name is no text but a list: ['a.png']"),
        ({"file_name": "../a.png"}, "file_name '../a.png' leads out of the folder"),
        ({"file_name": "/etc/passwd"}, "file_name '/etc/passwd' leads out of the folder"),
        ({"file_name": "b\\..\\..\\a.png"}, "leads out of the folder"),
        ({"file_name": "a\0.png"}, "is no file's name"),
        ({"hint": ["a dog"]}, "hint is no text but a list: ['a dog']"),
        ({"hint": 3.5}, "hint is no text but a number: 3.5"),
        ({"key": ["a"]}, "key is no key but a list: ['a']"),
        ({"key": True}, "key is no key but a bool: True"),
        ({"key": float("inf")}, "key is no key but a float: inf"),
    ],
)
def test_a_value_that_will_not_do_is_one_samples_fault(row, says, tmp_path):
    samples = read(tmp_path, [GOOD | {"key": "first"}, GOOD | row, GOOD | {"key": "last"}])
    assert [sample.fault is None for sample in samples] == [True, False, True]
    [fault] = faults_of(samples).values()
    assert says in fault
    assert "line 2" in fault or "sample 1" in fault
    assert [s.index for s in samples] == [0, 1, 2]


def test_a_column_that_single_rows_lack_is_their_fault(tmp_path):
    samples = read(tmp_path, [GOOD, {"file_name": "b.png"}, {"question": "who?"}])
    assert [fault.split("jsonl, ")[1] for fault in faults_of(samples).values()] == [
        "line 2: no 'question' (there are: 'file_name')",
        "line 3: no 'file_name' (there are: 'question')",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"file_na', "not valid JSON"),
        (b"[1, 2]", "expected an object in braces, got [1, 2]"),
        (b'{"file_name": "caf\xe9.png"}', "cannot be read: 'utf-8' codec"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not valid JSON"),
    ],
)
def test_a_line_that_is_no_json_is_one_samples_fault(line, says, tmp_path):
    good = json.dumps(GOOD).encode()
    (tmp_path / "metadata.jsonl").write_bytes(b"\xef\xbb\xbf" + b"\n".join([good, line, good]))
    samples = get_dataset("imagefolder", tmp_path)
    assert [s.key for s in samples] == ["0", "1", "2"]
    [fault] = faults_of(samples).values()
    assert f"line 2: {says}" in fault


def test_a_row_of_csv_that_is_not_so_is_one_samples_fault(tmp_path):
    lines = [
        b"file_name,question,key",
        b"a.png,what?,a",
        b"b.png,one, or two?,b",
        b"c.png",
        b"d.png,caf\xe9?,d",
        b'"e"x.png,what?,e',
        b"f.png,what?,",
        b"g.png,\xe4\xbd\x95?,g",
        b"",
        b'h.png,"what',
        b'is it?",h',
        b'i.png,"what?,i',
    ]
    (tmp_path / "metadata.csv").write_bytes(b"\r\n".join(lines))
    samples = get_dataset("imagefolder", tmp_path)
    good = [s for s in samples if s.fault is None]
    assert [(s.key, s.question) for s in good] == [
        ("a", "what?"), ("5", "what?"), ("g", "何?"), ("h", "what\r\nis it?"),
    ]  # fmt: skip
    says = [fault.split("csv, ")[1] for fault in faults_of(samples).values()]
    assert [fault.split(" (")[0].split(";")[0] for fault in says] == [
        "line 3: not as many fields as the header's 3",
        "line 4: not as many fields as the header's 3",
        "line 5: not text in UTF-8",
        "line 6: not valid CSV",
        "line 12: not valid CSV",
    ]


def test_a_parquet_value_that_is_no_text_is_one_samples_fault(tmp_path):
    """Arrow does not look at what it is told to be UTF-8 until it is asked for it."""
    names = pyarrow.array(["a.png", "b.png", "c.png"])
    questions = pyarrow.array([b"what?", b"caf\xe9?", b"who?"]).view(pyarrow.string())
    notes = pyarrow.array([b"-", b"-", b"\xff"]).view(pyarrow.string())
    table = pyarrow.table({"file_name": names, "question": questions, "note": notes})
    pyarrow.parquet.write_table(table, tmp_path / "metadata.parquet")
    samples = get_dataset("imagefolder", tmp_path)
    assert faults_of(samples).keys() == {"1", "2"}
    assert "row 1: question cannot be read: UnicodeDecodeError" in faults_of(samples)["1"]
    assert "row 2: note cannot be read: UnicodeDecodeError" in faults_of(samples)["2"]
    assert samples[0].extra == {"note": "-"}


@pytest.mark.parametrize(
    ("key", "becomes"),
    [
        (7, "7"), (3.0, "3"), (-2.0, "-2"), (0.5, "0.5"), (10**30, str(10**30)), ("3.0", "3.0"),
        ("", "1"), (" ", "1"), (None, "1"), (float("nan"), "1"),
    ],
)  # fmt: skip
def test_keys_are_text_or_numbers_and_empty_cells_are_none(key, becomes, tmp_path):
    samples = read(tmp_path, [GOOD | {"key": "first"}, GOOD | {"key": key}])
    assert (samples[1].key, samples[1].fault) == (becomes, None)


def test_a_key_that_was_asked_for_may_not_be_empty(tmp_path):
    samples = read(tmp_path, [GOOD | {"id": "a"}, GOOD | {"id": None}], key_column="id")
    assert [s.key for s in samples] == ["a", "(sample 1)"]
    assert "line 2: id is empty" in faults_of(samples)["(sample 1)"]


def test_whole_numbers_in_a_column_with_gaps_stay_whole(tmp_path):
    rows = [GOOD | {"key": 3}, GOOD | {"key": None}, GOOD | {"key": 12}]
    frame = pyarrow.Table.from_pylist(rows).set_column(
        2, "key", pyarrow.array([3.0, float("nan"), 12.0])
    )
    pyarrow.parquet.write_table(frame, tmp_path / "metadata.parquet")
    assert [s.key for s in get_dataset("imagefolder", tmp_path)] == ["3", "1", "12"]


def test_of_a_repeated_key_the_first_stays_and_the_others_are_named(tmp_path):
    keys = ["a", "b", "a", "a (sample 2)", "", "a", 4]
    samples = read(tmp_path, [GOOD | {"key": key} for key in keys])
    assert [s.key for s in samples] == [
        "a", "b", "a (sample 2)'", "a (sample 2)", "4", "a (sample 5)", "4 (sample 6)",
    ]  # fmt: skip
    assert faults_of(samples).keys() == {"a (sample 2)'", "a (sample 5)", "4 (sample 6)"}
    assert faults_of(samples)["a (sample 5)"] == (
        "samples 0 and 5 share the key 'a'; keys name result files, so give each its own"
    )


def test_a_sample_at_fault_takes_no_key_from_one_without():
    samples = Dataset(
        "some", [Sample("a", 0, b"", "", fault="broken"), Sample("a", 1, b"", "what?")]
    )
    assert [(s.key, s.fault) for s in samples] == [("a (sample 0)", "broken"), ("a", None)]


@pytest.mark.parametrize(
    "talk",
    [
        CONVERSATION,
        [{"role": "system", "content": "x"}, {"role": "user", "content": "Where is it?<image>"}],
        [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "Where is it?"}],
            }
        ],
        {"from": ["human", "gpt"], "value": ["Where is it?\n<image>", "left"]},
        {"role": ["system", "user"], "content": ["You are kind.", "Where is it?"]},
    ],
)
def test_a_conversation_is_read_by_its_first_human_turn(talk, tmp_path):
    [sample] = read(tmp_path, [GOOD | {"talk": talk}], question_column="talk")
    assert (sample.question, sample.fault) == ("Where is it?", None)
    assert sample.extra["talk"] == talk, "what was answered is worth keeping"


@pytest.mark.parametrize(
    "talk",
    [
        [],
        {},
        ["Where is it?", "left"],
        [{"from": "gpt", "value": "left"}],
        [{"from": "human", "value": 7}],
        [{"from": "human"}],
        [{"role": "user", "content": [{"type": "image"}]}],
        {"from": "human", "value": "Where is it?"},
        [[{"from": "human", "value": "Where is it?"}]],
    ],
)
def test_what_is_no_conversation_is_refused(talk, tmp_path):
    rows = [GOOD | {"talk": CONVERSATION}, GOOD | {"talk": talk}]
    samples = read(tmp_path, rows, question_column="talk")
    assert samples[0].question == "Where is it?"
    assert "line 2: talk is no text but a" in faults_of(samples)["1"]


def test_an_image_mark_is_no_word_of_what_is_asked(tmp_path):
    rows = [
        GOOD | {"question": "<image>\nWhere is it?"},
        GOOD | {"question": "What is in <image 1>?"},
        GOOD | {"question": "<image>", "hint": "a dog <image>"},
    ]
    samples = read(tmp_path, rows)
    assert [s.query for s in samples] == ["Where is it?", "What is in <image 1>?", "a dog"]
    assert samples[0].question == "<image>\nWhere is it?"


def test_a_hint_alone_will_do(tmp_path):
    samples = read(tmp_path, [GOOD, GOOD | {"question": None, "hint": "a dog"}])
    assert (samples[1].query, samples[1].question, samples[1].fault) == ("a dog", "", None)


def test_a_column_that_no_row_has_is_the_whole_sets_matter(tmp_path):
    for options in ({"question_column": "ask"}, {"image_column": "img"}, {"key_column": "id"}):
        [column] = options.values()
        with pytest.raises(DatasetError, match=f"jsonl: no '{column}' in any row"):
            read(tmp_path, [GOOD] * 3, **options)


def test_samples_of_other_peoples_loaders_are_looked_at_as_well():
    nothing: Any = None
    number: Any = 3
    hints: Any = ["a dog"]
    wrong = [
        Sample("a", 0, b"", "what?"),
        Sample("b", 0, b"", nothing),
        Sample(number, 0, b"", "what?"),
        Sample("d", 0, b"", "what?", hint=hints),
        Sample("a", 0, b"", "who?"),
    ]
    samples = Dataset("some", wrong)
    assert [(s.key, s.index, s.question) for s in samples] == [
        ("a", 0, "what?"), ("b", 1, ""), ("(sample 2)", 2, "what?"), ("d", 3, "what?"),
        ("a (sample 4)", 4, "who?"),
    ]  # fmt: skip
    assert list(faults_of(samples).values()) == [
        "sample 1: question is no text but a NoneType",
        "sample 2: key is no text but a int",
        "sample 3: hint is no text but a list",
        "samples 0 and 4 share the key 'a'; keys name result files, so give each its own",
    ]
