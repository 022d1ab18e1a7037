"""The command line on the datasets: what a user types, and what lies in the run folders then."""

from __future__ import annotations

import subprocess
import sys

from PIL import Image

from datasets_manager.mme import SUBTASKS
from tests.conftest import clean_environment, read_json_lines, write_json_lines
from tests.layouts import write_mme, write_mmmu, write_pope, write_text_vqa, write_viz_wiz

SETS = ("textVQA", "VisWiz", "MMMU", "MME", "POPE")


def test_every_set_runs_from_its_authors_layout(tmp_path, photographs):
    """In one process, since each takes seconds to start; the flags are those a user types."""
    root = tmp_path / "dataset"
    write_text_vqa(root / "TextVQA", photographs)
    write_viz_wiz(root / "VisWiz", photographs)
    write_mmmu(root / "MMMU" / "MMMU", photographs)
    write_mme(root / "MME" / "MME_Benchmark_release_version", photographs)
    write_pope(root / "POPE", photographs)
    script = (
        "import sys\nfrom api_cli.cli import app\n"
        "for name in sys.argv[1:]:\n"
        "    try: app(['clip', '--dataset', name, '--model-name', 'demo', '--quiet'])\n"
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
        assert folder.startswith(f"experiments/APICLIP_{name}_demo_")
        rows[name] = read_json_lines(tmp_path / folder / "metadata.jsonl")
        assert all(row["prompt"] for row in rows[name])
        assert not (tmp_path / folder / "errors.jsonl").exists()
    assert {name: len(rows[name]) for name in SETS} == {
        "textVQA": 2, "VisWiz": 2, "MMMU": 33, "MME": 56, "POPE": 6,
    }  # fmt: skip
    assert {row["category"] for row in rows["MME"]} == set(SUBTASKS)
    assert rows["VisWiz"][0]["dataset_image"] == "VizWiz_val_00000000.jpg"
    assert rows["MMMU"][2]["options"] == "['<image 1>', '<image 2>']"
    with Image.open(tmp_path / folders["VisWiz"] / "VizWiz_val_00000000.jpg") as masked:
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
