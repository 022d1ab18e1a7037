"""Batch files: written like what a server is asked, read back whatever their order."""

from __future__ import annotations

import json

import pytest

from api_cli.asking.batch import export_batch
from api_cli.asking.exchange import Picture, Prompt, Request
from api_cli.console import Console
from api_cli.errors import UsageError
from tests.api_cli.asking.conftest import sets, write_pictures, write_run
from tests.api_cli.asking.servers import answer_to
from tests.conftest import read_json_lines, write_json_lines


@pytest.fixture
def run(tmp_path):
    return write_run(write_pictures(tmp_path / "pictures", 6), tmp_path / "out")


def reply_to(line, **response):
    """A line of the output file, as OpenAI and vLLM write it."""
    choice = {"message": {"content": answer_to(line["body"])}, "finish_reason": "stop"}
    body = {"model": "small-v2", "choices": [choice], "usage": {"prompt_tokens": 7}}
    response = {"status_code": 200, "request_id": "r", "body": body} | response
    return {"id": "vllm-1", "custom_id": line["custom_id"], "response": response, "error": None}


def test_a_batch_asks_what_the_server_is_asked(run, tmp_path, asking, server):
    asking(run, plain=True, base_url=None, export_batch=tmp_path / "batch", max_tokens=9)
    [file] = sorted((tmp_path / "batch").iterdir())
    lines = read_json_lines(file)
    assert len({line["custom_id"] for line in lines}) == 12
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    asking(run, plain=True, max_tokens=9, token_field="max_completion_tokens")
    written = sorted(json.dumps(line["body"], sort_keys=True) for line in lines)
    assert written == sorted(json.dumps(body, sort_keys=True) for body in server.asked)


def test_answers_come_back_in_any_order_and_failures_apart(run, tmp_path, asking, server):
    asking(run, export_batch=tmp_path / "batch")
    lines = read_json_lines(tmp_path / "batch" / "requests-0001.jsonl")
    replies = [reply_to(line) for line in reversed(lines)]
    by_key = {line["custom_id"].split("-")[0]: line for line in lines}
    errors = [
        reply_to(by_key["k1"], status_code=400, body={"error": {"message": "too large"}}),
        reply_to(by_key["k2"]) | {"response": None, "error": {"message": "expired"}},
        reply_to(by_key["k3"], body={"choices": []}),
    ]
    lost = {line["custom_id"] for line in (by_key["k1"], by_key["k2"], by_key["k3"], by_key["k4"])}
    strange = reply_to(lines[0]) | {"custom_id": "k0-ffffffffffffffff"}
    output = [reply for reply in replies if reply["custom_id"] not in lost]
    (tmp_path / "back").mkdir()
    write_json_lines(tmp_path / "back" / "output.jsonl", [*output, strange])
    write_json_lines(tmp_path / "back" / "errors.jsonl", errors)
    report = asking(run, import_batch=(tmp_path / "back",))
    [answers] = sets(report)
    assert (report.finished, report.failed) == (2, 4)
    assert set(answers.answers) == {"k0", "k5"}
    assert answers.answers["k5"]["answer"] == answer_to(by_key["k5"]["body"])
    assert answers.answers["k5"]["prompt_tokens"] == 7
    for key, says in {"k1": "too large", "k2": "expired", "k3": "no answer", "k4": "name"}.items():
        assert says in answers.errors[key]["error"]
    assert server.asked == []

    asking(run, export_batch=tmp_path / "rest")
    rest = read_json_lines(tmp_path / "rest" / "requests-0001.jsonl")
    assert {line["custom_id"] for line in rest} == lost, "what is answered is not asked again"
    assert asking(run).finished == 4, "nor by the server"


def test_an_answer_about_another_picture_is_not_taken(run, tmp_path, asking):
    asking(run, export_batch=tmp_path / "batch")
    lines = read_json_lines(tmp_path / "batch" / "requests-0001.jsonl")
    write_json_lines(tmp_path / "output.jsonl", [reply_to(line) for line in lines])
    (run / "k3.jpg").write_bytes((run / "k4.jpg").read_bytes())
    [answers] = sets(asking(run, import_batch=(tmp_path / "output.jsonl",)))
    assert answers.missing == ["k3"]
    [other] = sets(asking(run, import_batch=(tmp_path / "output.jsonl",), max_tokens=5))
    assert len(other.missing) == 6, "nor one in other settings"


def test_files_are_split_by_bytes_and_by_lines(tmp_path):
    class Tag:
        title = "run"

    picture = Picture("a.jpg", b"x" * 900, "0" * 64, "image/jpeg", 1, 1)
    requests = [
        Request(f"k{n}", lambda: Prompt("What?", pictures=(picture,)), Tag()) for n in range(20)
    ]

    def body(prompt):
        return {"messages": [prompt.text, prompt.pictures[0].content.decode()]}

    quiet = Console(quiet=True)
    files = export_batch(tmp_path / "a", requests, body, quiet, max_bytes=5000)
    assert all(file.stat().st_size <= 5000 for file in files)
    assert sum(len(read_json_lines(file)) for file in files) == 20
    assert [len(read_json_lines(file)) for file in files[:-1]] == [4] * (len(files) - 1)
    files = export_batch(tmp_path / "b", requests, body, quiet, max_lines=7)
    assert [len(read_json_lines(file)) for file in files] == [7, 7, 6]
    with pytest.raises(UsageError, match=r"requests-0001.jsonl is there already"):
        export_batch(tmp_path / "b", requests, body, quiet)


@pytest.mark.parametrize("content", ["{", '{"custom_id": "k0-1"}', "[1]", '"text"'])
def test_what_is_no_output_of_a_batch_is_named(content, run, tmp_path, asking):
    (tmp_path / "wrong.jsonl").write_text(content + "\n")
    with pytest.raises(UsageError, match=r"wrong.jsonl, line 1"):
        asking(run, import_batch=(tmp_path / "wrong.jsonl",))
    with pytest.raises(UsageError, match=r"nothing.jsonl"):
        asking(run, import_batch=(tmp_path / "nothing.jsonl",))
