"""The whole way: mask, ask, score, compare, each by its command, over one small set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api_cli.cli import app
from tests.api_cli.asking.servers import FaultyServer
from tests.conftest import read_json_lines
from tests.layouts import write_text_vqa

# as annotations come: numbers beside texts, and a list that stands there as its JSON text
ANSWERS = (
    ["nous les gosses"] * 9 + ["dakota"],
    [7] * 9 + ["seven"],
    json.dumps(["7"] * 2 + ["2009"] * 8),
)


def command(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def write_set(root, photographs):
    write_text_vqa(root / "TextVQA", photographs)
    path = root / "TextVQA" / "TextVQA_0.5.1_val.json"
    content = json.loads(path.read_text())
    first = content["data"][0]
    content["data"] = [
        first | {"question": f"what is written {n}?", "question_id": n, "answers": answers}
        for n, answers in enumerate(ANSWERS)
    ]
    path.write_text(json.dumps(content))


@pytest.mark.model
def test_masked_and_original_pictures_are_scored_by_the_same_answers(tmp_path, photographs):
    write_set(tmp_path, photographs)
    of_set = ("--dataset", "textVQA", "--data-root", tmp_path, "--output-folder", tmp_path / "out")
    [run] = command("clip", *of_set, "--model-name", "demo", "--quiet").splitlines()
    rows = sorted(read_json_lines(Path(run) / "metadata.jsonl"), key=lambda row: row["index"])
    assert [type(row["answers"]) for row in rows] == [str] * 3, "one kind a column"

    with FaultyServer().running() as server:
        for plain, answer in (((), "7"), (("--plain",), "Nous les Gosses")):
            choice = {"message": {"content": answer}, "finish_reason": "stop"}
            server.reply = {"choices": [choice]}
            ask = ("ask", run, *plain, "--model", "small", "--base-url", server.url)
            folders = command(*ask, "--quiet").splitlines()
        assert len(server.asked) == 6, "what is answered is not asked again"
    masked, original = folders

    scored = json.loads(command("score", masked, original, "--table", "json", "--quiet"))
    assert [row["accuracy"] for row in scored] == pytest.approx([160 / 3, 100 / 3], abs=0.01)
    points = {row["key"]: row["score"] for row in read_json_lines(Path(masked) / "scores.jsonl")}
    assert points == pytest.approx({"0": 0, "1": 1, "2": 0.6})

    compared = json.loads(command("compare", masked, original, "--table", "json", "--quiet"))
    assert compared["baseline"] == "plain"
    plain, setting = compared["rows"]
    assert (plain["n"], plain["pictures"]) == (3, 1)
    assert setting["difference"] == pytest.approx(100 * (1.6 - 1) / 3)
    assert (setting["won"], setting["lost"]) == (2, 1)
