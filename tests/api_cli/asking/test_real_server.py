"""A real server and a real model: `transformers serve` with the demo LLaVA, killed half way."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from api_cli.asking.answers import ANSWERS, read_answers
from api_cli.asking.ask import ask
from api_cli.options.ask import AskConfig
from api_cli.relevance.llava.checkpoint import DEMO_FOLDER
from tests.api_cli.asking.conftest import QUIET
from tests.conftest import clean_environment, read_json_lines

CONCURRENCY = 2


@contextlib.contextmanager
def serving(model, log):
    """`transformers serve` in a process of its own; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(model),
               "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    environment = clean_environment() | {"CUDA_VISIBLE_DEVICES": ""}
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "no server in two minutes"
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            time.sleep(0.1)
        yield process, f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait(timeout=30)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.model
def test_a_real_server_answers_as_the_model_does_in_process_though_both_ends_are_killed(tmp_path):
    model = shutil.copytree(DEMO_FOLDER, tmp_path / "demo_llava")
    log = tmp_path / "server.log"

    def start(url):
        return subprocess.Popen(
            [sys.executable, "-m", "api_cli", "ask", "--model", str(model), "--base-url", url,
             "--max-tokens", "20", "--concurrency", str(CONCURRENCY), "--retries", "1",
             "--limit-errors", "3"],
            cwd=tmp_path,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    def standing():
        return [row for path in tmp_path.rglob(ANSWERS) for row in read_json_lines(path)]

    def wait_for(rows):
        deadline = time.monotonic() + 60
        while len(standing()) < rows:
            assert time.monotonic() < deadline, "no answers in a minute"
            time.sleep(0.01)

    with serving(model, log) as (server, url):
        client = start(url)
        wait_for(8)
        client.send_signal(signal.SIGKILL)
        client.communicate(timeout=30)
        first = standing()
        assert 8 <= len(first) < 64

        client = start(url)
        wait_for(len(first) + 8)
        server.kill()
        _, stderr = client.communicate(timeout=60)
        assert client.returncode == 1, stderr
        assert "gave up" in stderr.splitlines()[-1]
    second = standing()
    assert second[: len(first)] == first
    assert len(second) < 64

    with serving(model, log) as (_, url):
        client = start(url)
        stdout, stderr = client.communicate(timeout=100)
        assert client.returncode == 0, stderr
    folder = tmp_path / stdout.strip()
    answers = read_answers(folder)
    assert answers.missing == []
    assert standing()[: len(second)] == second
    assert len(standing()) == 64
    answered = log.read_text().count('"POST /v1/chat/completions HTTP/1.1" 200')
    assert answered - 64 <= 2 * CONCURRENCY, "more than what was in flight was asked twice"

    flags = {"model": "demo", "backend": "hf", "max_tokens": 20, "output_folder": tmp_path / "hf"}
    [in_process] = ask(AskConfig(**flags), QUIET).folders
    same = [
        row["answer"] == answers.answers[key]["answer"]
        for key, row in read_answers(in_process).answers.items()
    ]
    assert same == [True] * 64
