"""The sets on which this field measures today: copies of repositories, and V*'s own layout."""

from __future__ import annotations

import json
import shutil
from typing import Any

import datasets
import huggingface_hub
import pytest

from api_cli.console import Console
from api_cli.options.clip import ClipConfig
from api_cli.options.data import DataConfig
from api_cli.options.launch import Launch
from api_cli.pages.datasets import describe, open_samples
from api_cli.runs.run import run
from datasets_manager import DatasetError, DatasetOptions, available_datasets, get_dataset
from datasets_manager.hub import HUB_SETS
from tests import hub_copies, layouts
from tests.conftest import read_json_lines

LETTER = "\nAnswer with the option's letter from the given choices directly."
SHORT = "\nAnswer the question using a single word or phrase."
HR_OPTIONS = "\nA. CAFE\nB. BAR\nC. INN\nD. SPA\nAnswer the option letter directly."
SETS: dict[str, tuple[Any, ...]] = {
    "vstar": (
        "vstar", hub_copies.write_vstar, "115", "Is the dog on the left or right side of the car?",
        f"\n(A) right\n(B) left{LETTER}", "letter", {"label": "B", "category": "relative_position",
                                                     "options": ["right", "left"]},
    ),
    "HR-Bench-4K": (
        "HR-Bench", hub_copies.write_hr_bench, "1", "What is the name of shop 1 of 4k?",
        HR_OPTIONS, "letter", {"answer": "B", "category": "single", "cycle_category": "0",
                               "index": 1, "D": "SPA"},
    ),
    "HR-Bench-8K": (
        "HR-Bench", hub_copies.write_hr_bench, "1", "What is the name of shop 1 of 8k?",
        HR_OPTIONS, "letter", {"answer": "B", "index": 1},
    ),
    "MME-RealWorld-Lite": (
        "MME-RealWorld-Lite", hub_copies.write_mme_real_world, "perception/autonomous_driving/1",
        "How many cars are in lane 1?",
        " The choices are listed below:\n(A) 1\n(B) 2\n(C) 3\n(D) 4\n(E) cannot be said\nSelect "
        "the best answer to the above multiple-choice question based on the image. Respond with "
        "only the letter (A, B, C, D, or E) of the correct option.\nThe best answer is: ",
        "letter", {"answer": "C", "category": "Perception/Autonomous_Driving",
                   "l2-category": "Object_count"},
    ),
    "DocVQA": (
        "DocVQA", hub_copies.write_doc_vqa, "49154", "What is the 'actual' value of 1?", SHORT,
        "anls", {"answers": ["0.28", ".28"], "docId": 14465, "question_types": ["figure/diagram"],
                 "data_split": "val"},
    ),
    "InfoVQA": (
        "DocVQA", hub_copies.write_doc_vqa, "49154", "What is the 'actual' value of 1?", SHORT,
        "anls", {"answers": ["0.28", ".28"], "answer_type": ["single span"], "data_split": "val"},
    ),
    "GQA": (
        "GQA", hub_copies.write_gqa, "201601", "Is it red?", SHORT, "exact",
        {"answer": "yes", "imageId": "n0", "fullAnswer": "Yes, it is.",
         "types": {"structural": "verify", "semantic": "attr", "detailed": "verifyAttr"}},
    ),
    "A-OKVQA": (
        "A-OKVQA", hub_copies.write_a_okvqa, "22MexNkBPpdZGX6sxbxVB1",
        "What is in the motorcyclist's mouth?",
        f"\nA. toothpick\nB. food\nC. popsicle stick\nD. cigarette{LETTER}", "letter",
        {"correct_choice_idx": 3, "direct_answers": "['cigarette', 'cigarette', 'toothpick']"},
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache_and_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def pictures(photographs):
    return [photographs["wide"].read_bytes(), photographs["square"].read_bytes()]


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_today(name, tmp_path, pictures):
    """Keys, bare questions, prompts and fields; the same below the data root as from the hub."""
    folder, write, key, question, prompt, metric, known = SETS[name]
    copy = write(tmp_path / folder, pictures)
    samples = get_dataset(name, tmp_path)
    sample = samples[1]
    assert (samples.name, sample.key, sample.index) == (name, key, 1)
    assert (sample.question, sample.extra["prompt"]) == (question, prompt)
    assert {field: sample.extra[field] for field in known} == known
    assert not {"image", "bytes", "ocr", "question"} & set(sample.extra)
    assert [s.read_image() for s in samples][:2] == (pictures[::-1] if name == "GQA" else pictures)
    json.dumps([dict(s.extra) for s in samples])
    [metric_of_it] = [info.metric for info in available_datasets() if info.name == name]
    assert metric_of_it == metric

    there = get_dataset(name, tmp_path / "nowhere", DatasetOptions(hub_id=str(copy)))
    assert [(s.key, s.question, dict(s.extra)) for s in there] == [
        (s.key, s.question, dict(s.extra)) for s in samples
    ]
    column = next(field for field in known if isinstance(known[field], str))
    asked = DatasetOptions(hub_id=str(copy), query_column=column)
    assert get_dataset(name, tmp_path, asked)[1].query == known[column]


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_today_is_shown(name, tmp_path, pictures):
    folder, write, key, question, *_ = SETS[name]
    write(tmp_path / folder, pictures)
    config = DataConfig(dataset=name, data_root=tmp_path, range=(1, 2))
    samples = open_samples(config, Console(quiet=True))
    shown = [describe(sample).plain for sample in samples]
    size = "350 x 211" if name == "GQA" else "256 x 256"
    assert len(shown) == 1
    assert shown[0].startswith(f"{key}  sample 1, {size} pixels\n  question: {question}\n")


@pytest.mark.model
def test_every_set_of_today_is_masked(tmp_path, pictures):
    root = tmp_path / "dataset"
    for name, (folder, write, *_) in SETS.items():
        if not (root / folder).exists():
            write(root / folder, pictures)
        config = ClipConfig(
            dataset=name, data_root=root, model_name="demo", output_folder=tmp_path, num_workers=1
        )
        [folder], report = run(config, Console(quiet=True), Launch())
        assert folder.parent.name.startswith(f"APICLIP_{name}_demo_")
        rows = read_json_lines(folder / "metadata.jsonl")
        assert report is not None
        assert (len(rows), report.failed) == (3 if name == "GQA" else 2, 0)
        assert all(row["prompt"] and (folder / row["file_name"]).is_file() for row in rows)


@pytest.mark.parametrize("name", SETS)
def test_a_set_of_today_that_is_nowhere_says_how_to_get_it(name, tmp_path):
    with pytest.raises(DatasetError, match=r"not found; put a copy of the hub's .*hf download"):
        get_dataset(name, tmp_path, DatasetOptions(source="disk"))
    with pytest.raises(DatasetError, match=r"not found; put .*Nor from the hub: .*cannot be had"):
        get_dataset(name, tmp_path)


@pytest.mark.parametrize("ordered", [True, False])
def test_vstar_in_its_authors_layout_has_boxes(ordered, tmp_path, photographs):
    layouts.write_vstar(tmp_path / "vstar", photographs, ordered=ordered)
    samples = get_dataset("V*", tmp_path)
    assert samples.name == "vstar"
    assert [s.extra["target_bbox"] for s in samples] == [
        [[64, 42, 219, 99]], [[10, 20, 40, 60], [100, 20, 150, 60]],
    ]  # fmt: skip
    assert samples[1].extra["bbox"] == [[10, 20, 30, 40], [100, 20, 50, 40]]
    assert samples[1].extra["target_object"] == ["dog", "car"]
    right = [s.extra["options"]["ABCD".index(s.extra["label"])] for s in samples]
    assert right == ["rubber", "left"]
    assert samples[0].question == "What is the material of the glove?"
    assert samples[0].extra["prompt"].endswith(LETTER)
    for sample in samples:
        assert sample.question + sample.extra["prompt"] == sample.extra["text"]
        assert sample.read_image() == photographs["wide"].read_bytes()
    keys = ["0", "115"] if ordered else ["direct_attributes_sa_4690", "relative_position_sa_10033"]
    assert [s.key for s in samples] == keys


def test_vstar_says_the_same_of_a_sample_from_disk_as_from_the_hub(tmp_path, photographs, pictures):
    layouts.write_vstar(tmp_path / "vstar", photographs)
    copy = hub_copies.write_vstar(tmp_path / "copy", pictures)
    here = get_dataset("vstar", tmp_path)
    there = get_dataset("vstar", tmp_path, DatasetOptions(hub_id=str(copy)))
    for ours, theirs in zip(here, there, strict=True):
        assert (ours.key, ours.question) == (theirs.key, theirs.question)
        boxes = {"target_object", "bbox", "target_bbox"}
        assert {k: v for k, v in ours.extra.items() if k not in boxes} == dict(theirs.extra)


@pytest.mark.parametrize(
    ("text", "question", "options"),
    [
        ("Is it red? (A) yes (B) no", "Is it red?", ["yes", "no"]),
        ("Which?\n(A) a cup (of tea)\n(B) the (B) side", "Which?",
         ["a cup (of tea)", "the", "side"]),
        ("No options at all?", "No options at all?", []),
    ],
)  # fmt: skip
def test_vstars_text_is_question_and_options(text, question, options, tmp_path, pictures):
    rows = [{"text": text, "category": "x", "label": "A", "question_id": n} for n in "01"]
    hub_copies.write_repository(tmp_path / "vstar", "test", rows, pictures)
    sample = get_dataset("vstar", tmp_path)[0]
    assert (sample.question, sample.extra["options"]) == (question, options)
    assert sample.question + sample.extra["prompt"] == text + LETTER


def test_what_is_wrong_in_vstars_folder_costs_its_sample(tmp_path, photographs):
    folder = tmp_path / "vstar"
    layouts.write_vstar(folder, photographs)
    annotation = folder / "direct_attributes" / "sa_4690.json"
    annotation.unlink()
    samples = get_dataset("vstar", tmp_path)
    assert (samples[0].extra["target_bbox"], len(samples[1].extra["target_bbox"])) == ([], 2)
    assert [s.fault for s in samples] == [None, None]
    order = folder / "test_questions.jsonl"
    order.write_text(order.read_text().replace("direct_attributes/", "../"))
    fault, none = (s.fault for s in get_dataset("vstar", tmp_path))
    assert (none, "'../sa_4690.jpg' leads out of the folder" in str(fault)) == (None, True)
    order.unlink()
    for content, says in [
        (None, "sa_4690.json: sa_4690.json not found in"),
        ('{"question": "What?"}', "no list of 'options'"),
        ('{"question": "?", "options": ["a"], "bbox": [[1, 2]]}', "expected 'bbox' as a list of"),
        ("[]", "expected an object in braces"),
    ]:
        if content is not None:
            annotation.write_text(content)
        fault, none = (s.fault for s in get_dataset("vstar", tmp_path))
        assert (none, says in str(fault)) == (None, True), fault
    with pytest.raises(DatasetError, match="authors' layout, which has no splits"):
        get_dataset("vstar", tmp_path, DatasetOptions(split="train"))
    shutil.rmtree(folder / "relative_position")
    with pytest.raises(DatasetError, match=r"no pictures in .*relative_position; get the hub's"):
        get_dataset("vstar", tmp_path)


@pytest.mark.parametrize(
    ("value", "says"),
    [("no base64!", "is no base64"), ("YWJj\n", "is no base64"), (None, "no picture in column")],
)
def test_a_picture_in_text_that_is_none_is_its_samples_matter(value, says, tmp_path, pictures):
    hub_copies.write_hr_bench(tmp_path / "HR-Bench", pictures)
    path = tmp_path / "HR-Bench" / "hr_bench_4k.parquet"
    rows = datasets.Dataset.from_parquet(str(path)).to_list()
    hub_copies.write_table(path, [rows[0] | {"image": value}, rows[1]])
    samples = get_dataset("hrbench-4k", tmp_path)
    with pytest.raises(DatasetError, match=says):
        samples[0].read_image()
    assert samples[1].read_image() == pictures[1]


def test_a_picture_that_gqa_lacks_is_its_samples_matter(tmp_path, pictures):
    copy = hub_copies.write_gqa(tmp_path / "GQA", pictures)
    images = [{"id": "n1", "image": pictures[1]}]
    hub_copies.write_table(
        copy / "testdev_balanced_images" / "testdev-00000-of-00001.parquet", images
    )
    samples = get_dataset("gqa", tmp_path)
    with pytest.raises(DatasetError, match=r"row 1: no picture 'n0' in .*testdev_balanced_images"):
        samples[1].read_image()
    assert samples[2].read_image() == pictures[1]


def test_a_repository_that_has_moved_is_found_where_it_is(tmp_path, monkeypatch, pictures):
    """`datasets` takes the folder OWNER/NAME for the repository of that name."""
    monkeypatch.chdir(tmp_path)
    hub_copies.write_mm_vet(tmp_path / "lmms-lab-encoder" / "MMVet", pictures)
    samples = get_dataset("mmvet", options=DatasetOptions(source="hub"))
    assert [s.key for s in samples] == ["v1_0", "v1_1"]
    assert samples.notes == [
        "mmvet is read from lmms-lab-encoder/MMVet, since lmms-lab/MMVet is not to be had"
    ]
    with pytest.raises(DatasetError, match=r"^lmms-lab/POPE.*Nor from lmms-lab-encoder/POPE: lmms"):
        get_dataset("POPE", options=DatasetOptions(source="hub"))
    hub_copies.write_pope(tmp_path / "lmms-lab" / "POPE", pictures)
    samples = get_dataset("POPE", options=DatasetOptions(source="hub"))
    assert (len(samples), samples.notes) == (2, [])


def test_the_table_has_every_set_of_today():
    assert set(SETS) <= set(HUB_SETS)
