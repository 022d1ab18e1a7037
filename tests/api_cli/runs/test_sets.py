"""The command line on the datasets: what a user types, and what lies in the run folders then."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from api_cli.pages.datasets import in_blocks
from datasets_manager.mme import SUBTASKS
from tests.conftest import clean_environment, read_json_lines, write_json_lines
from tests.hub_copies import write_repository
from tests.layouts import (
    write_llava_wild,
    write_mm_vet,
    write_mme,
    write_mmmu,
    write_pope,
    write_text_vqa,
    write_viz_wiz,
)

SETS = ("mmvet", "LLaVA_Wild", "textVQA", "VisWiz", "MMMU", "MME", "POPE")


@pytest.mark.model
@pytest.mark.parametrize(("method", "prefix"), [("clip", "APICLIP"), ("llava", "APILLaVA")])
def test_every_set_runs_from_its_authors_layout(method, prefix, tmp_path, photographs):
    """In one process, since each takes seconds to start; the flags are those a user types."""
    root = tmp_path / "dataset"
    write_mm_vet(root / "mm-vet", photographs)
    write_llava_wild(root / "LLaVA_Wild" / "llava-bench-in-the-wild", photographs)
    write_text_vqa(root / "TextVQA", photographs)
    write_viz_wiz(root / "VisWiz", photographs)
    write_mmmu(root / "MMMU" / "MMMU", photographs)
    write_mme(root / "MME" / "MME_Benchmark_release_version", photographs)
    write_pope(root / "POPE", photographs)
    script = (
        "import sys\nfrom api_cli.cli import app\n"
        "for name in sys.argv[1:]:\n"
        "    flags = ['--dataset', name, '--model-name', 'demo', '--batch-size', '8', '--quiet']\n"
        f"    try: app(['{method}', *flags])\n"
        "    except SystemExit as exit: assert not exit.code, name\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script, *SETS],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    folders = dict(zip(SETS, process.stdout.splitlines(), strict=True))
    rows = {}
    for name, folder in folders.items():
        assert folder.startswith(f"experiments/{prefix}_{name}_demo_")
        rows[name] = read_json_lines(tmp_path / folder / "metadata.jsonl")
        assert name in ("mmvet", "LLaVA_Wild") or all(row["prompt"] for row in rows[name])
        assert all(("auxiliary_answer" in row) == (method == "llava") for row in rows[name])
        assert not (tmp_path / folder / "errors.jsonl").exists()
    assert {name: len(rows[name]) for name in SETS} == {
        "mmvet": 2, "LLaVA_Wild": 2, "textVQA": 2, "VisWiz": 2, "MMMU": 33, "MME": 56, "POPE": 6,
    }  # fmt: skip
    assert {row["category"] for row in rows["MME"]} == set(SUBTASKS)
    assert rows["VisWiz"][0]["dataset_image"] == "VizWiz_val_00000000.jpg"
    assert rows["MMMU"][2]["options"] == "['<image 1>', '<image 2>']"
    # `datasets` would read a split off the key's own name
    assert rows["VisWiz"][0]["file_name"].startswith("VizWiz_val~_00000000~")
    with Image.open(tmp_path / folders["VisWiz"] / rows["VisWiz"][0]["file_name"]) as masked:
        assert masked.height > masked.width, "the camera was held upright"


def test_questions_and_keys_from_anywhere(apiprompt, make_dataset, tmp_path):
    """Each becomes a picture inside the run folder, or a row of the ledger."""
    root = make_dataset(())
    picture = make_dataset(("wide",), folder="one") / "wide.jpg"
    (root / "wide.jpg").write_bytes(picture.read_bytes())
    questions = {
        "long": "why? " * 2000,
        "../../up": "مرحبا، ما هذا؟",
        "/etc/passwd": "これは🐈ですか",
        "empty": "",
        "sub/deep": "a\u2028b\tc\nd",
        "blank": " \n",
    }
    rows = [{"file_name": "wide.jpg", "key": k, "question": q} for k, q in questions.items()]
    write_json_lines(root / "metadata.jsonl", rows)
    process = apiprompt(
        "clip", "--dataset", "imagefolder", "--data-root", root, "--model-name", "demo", status=3
    )
    folder = tmp_path / process.stdout.strip()
    done = {row["key"]: row for row in read_json_lines(folder / "metadata.jsonl")}
    failed = read_json_lines(folder / "errors.jsonl")
    assert [row["key"] for row in failed] == ["empty", "blank"]
    assert done.keys() == questions.keys() - {"empty", "blank"}
    for key, row in done.items():
        assert row["question"] == questions[key]
        assert (folder / row["file_name"]).parent == folder
        assert (folder / row["file_name"]).is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiments", "one", "pictures"]


def test_a_dataset_of_the_hub_is_one_folder(apiprompt, tmp_path, photographs):
    rows = [{"question": "What is it?", "answer": "a cat"}, {"question": "Who?", "answer": "she"}]
    whole = photographs["wide"].read_bytes()
    write_repository(tmp_path / "me" / "mine", "test", rows, [whole, whole[:999]])
    process = apiprompt(
        "clip", "--dataset", "hf:me/mine", "--model-name", "demo", status=3,
        HF_HOME=str(tmp_path / "cache"),
    )  # fmt: skip
    [folder] = process.stdout.splitlines()
    assert folder.startswith("experiments/APICLIP_hf_me_mine~")
    [row] = read_json_lines(tmp_path / folder / "metadata.jsonl")
    assert (row["key"], row["answer"]) == ("0", "a cat")
    [failed] = read_json_lines(tmp_path / folder / "errors.jsonl")
    assert "truncated" in failed["error"]


def test_an_empty_dataset_or_range_is_said_and_no_failure(apiprompt, make_dataset):
    flags = ("--dataset", "imagefolder", "--model-name", "demo", "--data-root")
    process = apiprompt("clip", *flags, make_dataset((), folder="none"))
    assert "no samples in that range: imagefolder has 0" in process.stderr
    root = make_dataset()
    process = apiprompt("clip", *flags, root, "--range", 7, 9)
    assert "no samples in that range: imagefolder has 3" in process.stderr
    process = apiprompt("datasets", "show", "imagefolder", "--data-root", root, "--range", 7, 9)
    assert "no samples in that range" in process.stderr


def test_the_list_has_every_set_with_its_sources(apiprompt):
    listed = apiprompt("datasets").stdout
    for name in (*SETS, "mmvet", "LLaVA_Wild", "imagefolder", "demo", "hf:OWNER/NAME"):
        assert name in listed
    assert "on the hub: lmms-lab/POPE" in listed
    assert "licence: Apache 2.0" in listed


def test_samples_are_shown(apiprompt, make_dataset):
    questions = ["What?", "x" * 1000, "[red]مرحبا🐈"]
    root = make_dataset(question=questions, tags=[["a"], [], []])
    (root / "tall.png").unlink()
    shown = apiprompt("datasets", "show", "imagefolder", "--data_root", root).stdout
    assert 'square  sample 0, 256 x 256 pixels\n  question: What?\n  tags: ["a"]\n' in shown
    assert "(1000 characters)" in shown
    assert "no picture: FileNotFoundError" in shown
    assert "question: [red]مرحبا🐈" in shown
    shown = apiprompt("datasets", "show", "demo").stdout
    assert [line for line in shown.splitlines() if "  sample " in line][-1].startswith("004")


def test_a_picture_in_the_terminal(photographs):
    with Image.open(photographs["wide"]) as image:
        lines = in_blocks(image).plain.splitlines()
    assert {len(line) for line in lines} == {48}
    assert len(lines) == round(48 * 211 / 350 / 2)


def test_a_check_reads_every_sample(apiprompt, make_dataset):
    root = make_dataset(("square", "wide", "tall", "grey"))
    arguments = ("datasets", "check", "imagefolder", "--data-root", root)
    assert "4 samples, each with a question" in apiprompt(*arguments).stderr
    (root / "square.png").write_bytes(b"no picture")
    (root / "wide.jpg").write_bytes((root / "wide.jpg").read_bytes()[:2000])
    (root / "grey.png").unlink()
    rows = read_json_lines(root / "metadata.jsonl")
    write_json_lines(root / "metadata.jsonl", [*rows[:2], rows[2] | {"question": " "}, rows[3]])
    process = apiprompt(*arguments, status=3)
    faults = process.stdout.splitlines()
    assert [fault.split(":")[0] for fault in faults] == [
        "square (sample 0)", "wide (sample 1)", "tall (sample 2)", "grey (sample 3)",
    ]  # fmt: skip
    for fault, says in zip(
        faults,
        ["this is no picture", "truncated", "question is empty", "FileNotFound"],
        strict=True,
    ):
        assert says in fault
    assert "4 of 4 samples are not as they should be" in process.stderr
    apiprompt(*arguments, "--range", 9, 10)


def test_what_the_model_is_asked_is_part_of_the_content(apiprompt, make_dataset, tmp_path):
    """The hint makes the mask, the question stays for asking, and another hint is refused."""
    flags = ("clip", "--dataset", "imagefolder", "--model-name", "demo", "--data-root")
    names = ("square", "wide")
    first = apiprompt(*flags, make_dataset(names, hint=["a cat", "a hat"]))
    folder = tmp_path / first.stdout.strip()
    rows = read_json_lines(folder / "metadata.jsonl")
    assert [row["query"] for row in rows] == ["a cat", "a hat"]
    assert rows[0]["question"] == "What colour is the cat?"
    asked = apiprompt(
        *flags, make_dataset(names, question=["a cat", "a hat"], hint=["", ""]),
        "--output-folder", "asked", "--format", "jpg",
    )  # fmt: skip
    for name in names:
        one, other = (tmp_path / run.stdout.strip() / f"{name}.jpg" for run in (first, asked))
        assert one.read_bytes() == other.read_bytes()
    refused = apiprompt(*flags, make_dataset(names, hint=["a cat", "a coat"]), status=1)
    assert "its sample 'wide' has another question" in refused.stderr
    column = apiprompt(*flags, make_dataset(names, words=["a", "b"]), "--query-column", "words",
                       "--range", "0", "1", "--output-folder", "words")  # fmt: skip
    [row] = read_json_lines(tmp_path / column.stdout.strip() / "metadata.jsonl")
    assert row["query"] == "a"
    shown = apiprompt("datasets", "show", "imagefolder", "--data-root", tmp_path / "pictures",
                      "--query-column", "words")  # fmt: skip
    assert "query: b" in shown.stdout
