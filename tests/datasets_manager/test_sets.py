"""The method's sets in their authors' layouts: keys, raw questions, prompts and fields."""

from __future__ import annotations

import json
import re

import pytest

from datasets_manager import DatasetError, DatasetOptions, get_dataset
from datasets_manager.mme import SUBTASKS
from datasets_manager.mmmu import SUBJECTS
from tests.conftest import faults_of
from tests.layouts import write_mme, write_mmmu, write_pope, write_text_vqa, write_viz_wiz


def test_text_vqa(tmp_path, photographs):
    write_text_vqa(tmp_path / "TextVQA", photographs)
    samples = get_dataset("text-vqa", tmp_path)
    assert [s.key for s in samples] == ["34602", "34603"]
    assert samples[0].question == "what is the brand of this camera?"
    assert samples[0].extra["answers"] == ["nous les gosses"] * 9 + ["dakota"]
    assert samples[0].extra["image_classes"] == ["Cat", "Mammal"]
    assert samples[0].extra["prompt"].endswith("using a single word or phrase.")
    assert samples[1].read_image() == photographs["wide"].read_bytes()


def test_viz_wiz(tmp_path, photographs):
    write_viz_wiz(tmp_path / "VisWiz", photographs)
    samples = get_dataset("vizwiz", tmp_path)
    assert samples.name == "VisWiz"
    assert [s.key for s in samples] == ["VizWiz_val_00000000", "VizWiz_val_00000001"]
    assert samples[0].extra["answers"][0] == {
        "answer_confidence": "yes", "answer": "unanswerable",
    }  # fmt: skip
    assert "respond with 'Unanswerable'" in samples[0].extra["prompt"]
    assert samples[0].read_image() == photographs["rotated"].read_bytes()


def test_pope_has_three_parts_under_keys_of_their_own(tmp_path, photographs):
    write_pope(tmp_path / "POPE", photographs)
    samples = get_dataset("pope", tmp_path)
    assert [s.key for s in samples] == [
        "random_1", "random_2", "popular_1", "popular_2", "adversarial_1", "adversarial_2",
    ]  # fmt: skip
    assert [s.index for s in samples] == list(range(6))
    assert samples[3].question == "Is there a dining table in the image?"
    assert (samples[3].extra["label"], samples[3].extra["category"]) == ("no", "popular")
    one = get_dataset("pope", tmp_path, DatasetOptions(split="popular"))
    assert [(s.key, s.index) for s in one] == [("popular_1", 0), ("popular_2", 1)]
    with pytest.raises(DatasetError, match="no split 'test'; there are random, popular"):
        get_dataset("pope", tmp_path, DatasetOptions(source="disk", split="test"))


def test_mme_has_all_14_subtasks_in_both_shapes(tmp_path, photographs):
    root = tmp_path / "MME" / "MME_Benchmark_release_version"
    write_mme(root, photographs)
    samples = get_dataset("MME", tmp_path)
    assert len(SUBTASKS) == 14
    assert [s.extra["category"] for s in samples[::4]] == list(SUBTASKS)
    assert [s.key for s in samples[:4]] == [
        "existence_0001_1", "existence_0001_2", "existence_0020_1", "existence_0020_2",
    ]  # fmt: skip
    assert samples[0].question == "Is this existence of 0001?"
    asked = samples[0].question + samples[0].extra["prompt"]
    assert asked == "Is this existence of 0001? Please answer yes or no."
    assert [s.extra["answer"] for s in samples] == ["Yes", "No"] * 28
    assert samples[-1].extra["question_id"] == "code_reasoning/0020.png"
    assert all(s.read_image() for s in samples)


def test_mme_that_is_not_whole_is_named(tmp_path, photographs):
    root = tmp_path / "MME" / "MME_Benchmark_release_version"
    write_mme(root, photographs)
    (root / "scene" / "images" / "0001.jpg").unlink()
    [sample] = [s for s in get_dataset("MME", tmp_path) if s.key == "scene_0001_1"]
    with pytest.raises(FileNotFoundError, match=r"scene/images/0001\.jpg"):
        sample.read_image()
    text = root / "artwork" / "questions_answers_YN" / "0001.txt"
    text.write_text("Is this art?\tYes\nIs it no")
    samples = get_dataset("MME", tmp_path)
    [(key, fault)] = faults_of(samples).items()
    assert key == "artwork_0001"
    assert "0001.txt: expected two lines of question, tab and answer" in fault
    assert [s.index for s in samples] == list(range(55))
    text.unlink()
    (text.parent / "0020.txt").unlink()
    with pytest.raises(DatasetError, match=r"no questions of MME's artwork in .*; ask the authors"):
        get_dataset("MME", tmp_path)


def test_mmmu_has_a_sample_for_each_image(tmp_path, photographs):
    write_mmmu(tmp_path / "MMMU" / "MMMU", photographs)
    samples = get_dataset("mmmu", tmp_path)
    assert [s.key for s in samples[:5]] == [
        "validation_Accounting_1", "validation_Accounting_2_1", "validation_Accounting_2_2",
        "validation_Accounting_3", "validation_Agriculture_1",
    ]  # fmt: skip
    assert [s.key.split("_", 1)[1].rsplit("_", 1)[0] for s in samples[4:]] == list(SUBJECTS[1:])
    assert [s.index for s in samples] == list(range(33))
    assert samples[1].question == samples[2].question == "Compare <image 1> with <image 2>."
    assert samples[1].read_image() == photographs["wide"].read_bytes()
    assert samples[2].read_image() == photographs["tall"].read_bytes()
    assert (samples[2].extra["id"], samples[2].extra["image_number"]) == (
        "validation_Accounting_2", 2,
    )  # fmt: skip
    assert samples[0].extra["options"] == "['$6', '$7', \"the owner's\"]"
    assert "(A) $6\n(B) $7\n(C) the owner's\n" in samples[0].extra["prompt"]
    assert "single word or phrase" in samples[3].extra["prompt"]
    json.dumps([dict(s.extra) for s in samples])


def test_mmmu_may_take_first_images_alone(tmp_path, photographs):
    write_mmmu(tmp_path / "MMMU" / "MMMU", photographs)
    samples = get_dataset("mmmu", tmp_path, DatasetOptions(images="first"))
    assert len(samples) == 32
    assert samples[1].key == "validation_Accounting_2"
    assert samples[1].read_image() == photographs["wide"].read_bytes()


def test_mmmu_that_is_not_whole_is_named(tmp_path, photographs):
    folder = tmp_path / "MMMU" / "MMMU"
    write_mmmu(folder, photographs)
    with pytest.raises(DatasetError, match=r"no test-\*\.parquet in .*Accounting; put the hub's"):
        get_dataset("mmmu", tmp_path, DatasetOptions(split="test"))
    [path] = (folder / "Art").glob("*")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DatasetError, match=r"Art/validation.*cannot be read as parquet"):
        get_dataset("mmmu", tmp_path)


def test_options_in_mmmu_are_data_and_no_program(tmp_path, photographs):
    import pyarrow.parquet

    folder = tmp_path / "MMMU" / "MMMU"
    write_mmmu(folder, photographs)
    [path] = (folder / "Art").glob("*")
    table = pyarrow.parquet.read_table(path, partitioning=None)
    evil = pyarrow.array(["[__import__('os').getcwd()]"])
    place = table.schema.get_field_index("options")
    pyarrow.parquet.write_table(table.set_column(place, "options", evil), path)
    [(key, fault)] = faults_of(get_dataset("mmmu", tmp_path)).items()
    assert key == "validation_Art_1"
    assert re.search(r"Art/.*row 0: expected options like .*__import__", fault)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("textVQA", r"TextVQA_0\.5\.1_val\.json not found in .*TextVQA; get it .*textvqa\.org"),
        ("VisWiz", r"val\.json not found in .*VisWiz; get Annotations\.zip and val\.zip"),
        ("POPE", r"coco_pope_random\.json not found in .*POPE; get it"),
        ("MME", r"no questions of MME's existence in .*; ask the authors"),
        ("MMMU", r"no validation-\*\.parquet in .*; put the hub's MMMU/MMMU there"),
    ],
)
def test_a_set_that_is_not_there_says_where_to_get_it(name, says, tmp_path):
    with pytest.raises(DatasetError, match=says):
        get_dataset(name, tmp_path, DatasetOptions(source="disk"))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("mmvet", {"images": "first"}, "--images does not apply to mmvet; it takes --hub-id"),
        ("imagefolder", {"split": "test"}, "--split does not apply to imagefolder; it takes"),
        ("demo", {"question": "?"}, "--question does not apply to demo; it takes --query-column$"),
        ("mmvet", {"source": "disk", "revision": "v1"}, "--revision does not apply to mmvet on"),
    ],
)
def test_no_wish_is_passed_over_in_silence(name, options, says, tmp_path):
    with pytest.raises(DatasetError, match=says):
        get_dataset(name, tmp_path, DatasetOptions(**options))
