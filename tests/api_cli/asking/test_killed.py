"""Asking that is killed, interrupted or done twice at once; and a key that nobody may see."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from api_cli.asking.answers import ANSWERS, answers_folders, read_answers
from tests.api_cli.asking.conftest import write_pictures, write_run
from tests.conftest import clean_environment, read_json_lines

KEY = "sk-planted-0123456789abcdef"

pytestmark = pytest.mark.process


@pytest.fixture
def run(tmp_path):
    return write_run(write_pictures(tmp_path / "pictures", 60), tmp_path / "out")


def start(run, server, *flags):
    return subprocess.Popen(
        [sys.executable, "-m", "api_cli", "ask", str(run), "--model", "small",
         "--base-url", server.url, *map(str, flags)],
        cwd=run.parents[2],
        env=clean_environment() | {"OPENAI_API_KEY": KEY},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # as at a terminal: where tests run in a shell's background, Ctrl-C is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "nothing in a minute"
        time.sleep(0.005)


def rows(run):
    folders = answers_folders(run)
    path = folders[0] / ANSWERS if folders else None
    return path.read_bytes().count(b"\n") if path and path.exists() else 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_what_is_killed_resumes_and_repeats_at_most_what_was_in_flight(how, run, server):
    server.seconds = 0.05
    process = start(run, server, "--concurrency", 4)
    wait_for(lambda: rows(run) >= 12)
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted" in stderr
        assert "Traceback" not in stderr
    [folder] = answers_folders(run)
    standing = read_answers(folder).answers
    assert 12 <= len(standing) < 60
    before = len(server.asked)
    assert before - len(standing) <= 4

    server.seconds = 0
    process = start(run, server)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert f"{len(standing)} of 60 questions are answered already" in stderr
    assert not {row["text"] for row in standing.values()} & set(server.texts()[before:])
    assert len(server.asked) - 60 <= 4
    assert len(read_json_lines(folder / ANSWERS)) == 60
    assert standing.items() <= read_answers(folder).answers.items()


def test_two_at_once_leave_one_row_a_key(run, server):
    server.seconds = 0.01
    both = [start(run, server, "--concurrency", 3) for _ in range(2)]
    for process in both:
        _, stderr = process.communicate(timeout=100)
        assert process.returncode == 0, stderr
    [folder] = answers_folders(run)
    keys = Counter(row["key"] for row in read_json_lines(folder / ANSWERS))
    assert len(keys) == 60
    assert set(keys.values()) == {1}


def test_a_planted_key_appears_in_no_file_and_no_output(run, server):
    server.faults["What is 1?"] = [(400, {"error": {"message": f"Bearer {KEY} is not for this"}})]
    server.faults["What is 2?"] = [(200, {"error": f"no choices for {KEY}"})]
    told = {"message": {"content": f"your key is {KEY}, is it not?"}, "finish_reason": "stop"}
    server.faults["What is 3?"] = [(200, {"choices": [told], "model": f"small {KEY}"})]
    url = server.url.replace("http://", f"http://user:{KEY}@") + f"?key={KEY}"
    said = []
    for flags in (("--dry-run",), (), ("--print-config",), ("--export-batch", "batch")):
        process = start(run, server, *flags)
        said += process.communicate(timeout=60)
        if not flags:
            assert process.returncode == 3, said
    server.faults["*"] = [(401, {"error": {"message": f"Incorrect API key provided: {KEY}."}})] * 9
    process = start(run, server, "--max-tokens", 9)
    said += process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Incorrect API key provided: (the key)" in said[-1]
    process = start(run, server, "--max-tokens", 10, "--base-url", url)
    said += process.communicate(timeout=60)

    assert {headers["authorization"] for headers in server.headers} >= {f"Bearer {KEY}"}
    assert not any(KEY in text for text in said)
    files = [path for path in run.parents[2].rglob("*") if path.is_file()]
    assert len(files) > 60
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    [first, *_] = [folder for folder in answers_folders(run) if (folder / ANSWERS).exists()]
    answers = read_answers(first).answers
    assert answers["k3"]["answer"] == "your key is (the key), is it not?"
    assert answers["k3"]["model"] == "small (the key)"
