"""The sets from the hub: copies of its repositories, loaded and mapped by the code that it meets.

`--hub-id` takes a folder that holds a copy, so no network is needed and nothing is pretended.
"""

from __future__ import annotations

import json
from typing import Any

import datasets
import huggingface_hub
import pytest

from datasets_manager import DatasetError, DatasetOptions, get_dataset
from datasets_manager.hub import HUB_SETS
from tests import hub_copies, layouts


@pytest.fixture(autouse=True)
def own_cache_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def pictures(photographs):
    return [photographs["wide"].read_bytes(), photographs["square"].read_bytes()]


@pytest.mark.parametrize(
    ("name", "write", "keys", "question", "asked", "query"),
    [
        ("mmvet", hub_copies.write_mm_vet, ["v1_0", "v1_1"], "Who is this?", "", "capability"),
        ("LLaVA_Wild", hub_copies.write_llava_wild, ["0", "1"], "Which mood?", "", "caption"),
        ("textVQA", hub_copies.write_text_vqa, ["34602", "34603"], "what year is it?",
         "\nAnswer the question using a single word or phrase.", "set_name"),
        ("VisWiz", hub_copies.write_viz_wiz, ["VizWiz_val_00000000", "VizWiz_val_00000001"],
         "What is this?", "\nWhen the provided information is insufficient, respond with "
         "'Unanswerable'.\nAnswer the question using a single word or phrase.", "category"),
        ("MME", hub_copies.write_mme, ["code_reasoning_0020_1", "code_reasoning_0020_2"],
         "Is it 5?", " Please answer yes or no.", "answer"),
        ("POPE", hub_copies.write_pope, ["adversarial_1", "popular_1"],
         "Is there a snowboard in the image?",
         "\nAnswer the question using a single word or phrase.", "category"),
    ],
)  # fmt: skip
def test_a_set_from_the_hub(name, write, keys, question, asked, query, tmp_path, pictures):
    copy = write(tmp_path / "copy", pictures)
    samples = get_dataset(name, tmp_path, DatasetOptions(source="hub", hub_id=str(copy)))
    assert [(s.key, s.index) for s in samples] == [(keys[0], 0), (keys[1], 1)]
    assert [s.read_image() for s in samples] == pictures
    assert samples[1].question == question
    assert samples[1].extra.get("prompt", "") == asked
    assert {"answer", "answers", "gpt_answer"} & set(samples[1].extra)
    assert not {"image", "question"} & set(samples[1].extra)
    json.dumps(dict(samples[1].extra))
    options = DatasetOptions(source="hub", hub_id=str(copy), query_column=query)
    hinted = get_dataset(name, tmp_path, options)
    assert [s.query for s in hinted] == [s.extra[query] for s in samples]
    assert [s.question for s in hinted] == [s.question for s in samples]


@pytest.mark.parametrize(
    ("name", "folder", "write", "write_copy"),
    [
        ("mmvet", "mm-vet", layouts.write_mm_vet, hub_copies.write_mm_vet),
        ("LLaVA_Wild", "LLaVA_Wild/llava-bench-in-the-wild", layouts.write_llava_wild,
         hub_copies.write_llava_wild),
        ("textVQA", "TextVQA", layouts.write_text_vqa, hub_copies.write_text_vqa),
        ("VisWiz", "VisWiz", layouts.write_viz_wiz, hub_copies.write_viz_wiz),
        ("MME", "MME/MME_Benchmark_release_version", layouts.write_mme, hub_copies.write_mme),
        ("POPE", "POPE", layouts.write_pope, hub_copies.write_pope),
    ],
)  # fmt: skip
def test_rows_from_disk_know_what_rows_from_the_hub_know(
    name, folder, write, write_copy, tmp_path, photographs, pictures
):
    """So that what other programs read of the hub's columns is there from disk as well."""
    write(tmp_path / folder, photographs)
    here = get_dataset(name, tmp_path)
    copy = write_copy(tmp_path / "copy", pictures)
    there = get_dataset(name, tmp_path, DatasetOptions(source="hub", hub_id=str(copy)))
    only_there = {"image_source", "question_tokens"} if name in ("mmvet", "textVQA") else {"id"}
    assert set(there[0].extra) - only_there <= set(here[0].extra)


@pytest.mark.parametrize(
    ("name", "write", "known"),
    [
        ("LLaVA_Wild", hub_copies.write_llava_wild, True),
        ("textVQA", hub_copies.write_text_vqa, True),
        ("MME", hub_copies.write_mme, True),
        ("VisWiz", hub_copies.write_viz_wiz, False),
    ],
)
def test_rows_that_name_the_same_picture_are_known_to_share_it(
    name, write, known, tmp_path, pictures
):
    copy = write(tmp_path / "copy", [pictures[0]] * 2)
    one, other = get_dataset(name, tmp_path, DatasetOptions(source="hub", hub_id=str(copy)))
    assert one.shares_picture(other) is known


def test_mmmu_from_the_hub_is_mmmu_from_disk(tmp_path, photographs):
    copy = hub_copies.write_mmmu(tmp_path / "MMMU" / "MMMU", photographs)
    here = get_dataset("mmmu", tmp_path)
    there = get_dataset("mmmu", tmp_path / "nowhere", DatasetOptions(hub_id=str(copy)))
    assert [(s.key, s.index, s.question) for s in there] == [
        (s.key, s.index, s.question) for s in here
    ]
    assert [dict(s.extra) for s in there] == [dict(s.extra) for s in here]
    assert [s.read_image() for s in there] == [s.read_image() for s in here]


def test_a_part_of_pope_from_the_hub(tmp_path, pictures):
    copy = hub_copies.write_pope(tmp_path / "copy", pictures)
    [sample] = get_dataset("pope", tmp_path, DatasetOptions(hub_id=str(copy), split="popular"))
    assert (sample.key, sample.index) == ("popular_1", 0)
    assert sample.read_image() == pictures[1]


def test_a_broken_or_missing_picture_is_its_samples_matter(tmp_path, photographs):
    whole = photographs["wide"].read_bytes()
    rows = [{"question_id": f"v1_{n}", "question": "what?"} for n in range(3)]
    hub_copies.write_repository(tmp_path / "copy", "test", rows, [whole, whole[:99], None])
    samples = get_dataset("mmvet", tmp_path, DatasetOptions(hub_id=str(tmp_path / "copy")))
    assert [samples[n].read_image() for n in (0, 1)] == [whole, whole[:99]]
    with pytest.raises(DatasetError, match="copy, split test, row 2: no picture in column 'image'"):
        samples[2].read_image()


def test_a_row_that_is_not_so_is_one_samples_fault(tmp_path, pictures):
    rows: list[dict[str, Any]] = [
        {"question_id": "a", "question": None},
        {"question_id": "b", "question": " "},
        {"question_id": None, "question": "what?"},
        {"question_id": "d", "question": "what?"},
        {"question_id": "d", "question": "who?"},
    ]
    copy = hub_copies.write_repository(tmp_path / "c", "test", rows, pictures[:1] * 5)
    samples = get_dataset("mmvet", tmp_path, DatasetOptions(hub_id=str(copy)))
    assert [(s.key, s.fault and s.fault.split("split test, ")[-1]) for s in samples] == [
        ("a", "row 0: question is empty"),
        ("b", "row 1: question is empty"),
        ("(sample 2)", "row 2: question_id is empty"),
        ("d", None),
        ("d (sample 4)", "samples 3 and 4 share the key 'd'; keys name result files, so give each "
         "its own"),
    ]  # fmt: skip


def test_the_disk_comes_first_and_the_hub_where_the_disk_has_none(tmp_path):
    with pytest.raises(DatasetError, match=r"mm-vet\.json not found .*Nor from the hub: lmms-lab"):
        get_dataset("mmvet", tmp_path)
    with pytest.raises(DatasetError, match=r"^lmms-lab/MMVet, split test, cannot be had"):
        get_dataset("mmvet", tmp_path, DatasetOptions(source="hub"))
    (tmp_path / "mm-vet").mkdir()
    with pytest.raises(DatasetError, match=r"mm-vet\.json not found in .*--data-root$"):
        get_dataset("mmvet", tmp_path)


def test_a_repository_of_other_columns_is_named(tmp_path, pictures):
    copy = hub_copies.write_repository(tmp_path / "c", "test", [{"q": "?"}] * 2, pictures)
    with pytest.raises(DatasetError, match=r"split test: no column 'question' \(there are: q, im"):
        get_dataset("mmvet", tmp_path, DatasetOptions(hub_id=str(copy)))


def test_the_table_has_every_set_of_the_method():
    assert set(HUB_SETS) >= {"mmvet", "LLaVA_Wild", "textVQA", "VisWiz", "MMMU", "MME", "POPE"}
