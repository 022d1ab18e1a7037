"""Judges over real HTTP: the published prompts, resume, tries again, and failures apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from api_cli.console import Console
from api_cli.errors import ApipromptError, UsageError
from api_cli.options.compare import CompareConfig
from api_cli.options.score import ScoreConfig
from api_cli.scoring.compare import CompareError, compare
from api_cli.scoring.judges.llava_bench import read as read_grades
from api_cli.scoring.judges.mm_vet import groups
from api_cli.scoring.judges.mm_vet import read as read_score
from api_cli.scoring.score import score
from datasets_manager import get_dataset
from tests.answers import rows_of, write_answers
from tests.conftest import read_json_lines, write_json_lines
from tests.layouts import write_llava_wild, write_mm_vet

pytestmark = pytest.mark.process  # a server, on a thread of its own

QUIET = Console(quiet=True)


class JudgeServer(ThreadingHTTPServer):
    """Answers chat requests by `judge`, and keeps what it was asked.

    Attributes:
        judge: from a request's body to a judgement; an integer is an HTTP status.
        asked: bodies, in the order of arrival.
    """

    daemon_threads = True
    judge: Callable[[dict], str | int]
    asked: list[dict]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: JudgeServer

    def do_GET(self):
        self._reply(200, {"data": [{"id": "judge-1"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        judgement = self.server.judge(body)
        if isinstance(judgement, int):
            self._reply(judgement, {"error": {"message": "no"}})
            return
        message = {"role": "assistant", "content": judgement}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        self._reply(200, {"id": "1", "model": "judge-1-0613", "choices": choices})

    def _reply(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with JudgeServer(("127.0.0.1", 0), _Handler) as server:
        server.asked = []
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def mm_vet(tmp_path, photographs):
    write_mm_vet(tmp_path / "mm-vet", photographs)
    return rows_of(get_dataset("mmvet", tmp_path))


def judged(folder, server, **wishes):
    config = ScoreConfig(
        folders=(folder,), judge_base_url=server.url, judge_model="judge-1", **wishes
    )
    [outcome] = score(config, QUIET)
    return outcome


def test_mm_vet_is_judged_by_the_published_prompt_and_not_twice(tmp_path, server, mm_vet):
    answers = {"v1_0": "x is 7", "v1_1": "a woman"}
    folder = write_answers(tmp_path / "run", mm_vet, answers, dataset="mmvet")
    server.judge = lambda body: "1.0" if "x is 7" in body["messages"][0]["content"] else "0.3"
    summary = judged(folder, server).summary
    assert summary.figures == {"total": pytest.approx(65)}
    assert summary.by_category["ocr"] == {"n": 1, "total": 100}
    assert summary.by_category["math+ocr"] == {"n": 1, "total": 100}
    [body] = [b for b in server.asked if "x is 7" in b["messages"][0]["content"]]
    assert (body["temperature"], body["max_tokens"], len(body["messages"])) == (0, 3, 1)
    prompt = body["messages"][0]["content"]
    assert prompt.startswith("Compare the ground truth and prediction from AI models, to give a ")
    assert (
        "\n\nQuestion | Ground truth | Prediction | Correctness\n--- | --- | --- | ---\n" in prompt
    )
    assert prompt.count(" | 0.5\n") == 3
    assert prompt.endswith(
        "confusion. The humor in this meme is derived from the unexpected contrast between the "
        "names of the countries and their actual physical characteristics. | 1.0\n\n"
        "What is x in the equation? | 7 <AND> seven <OR> VII | x is 7 | "
    )
    content = json.loads((folder / "summary.json").read_text())
    assert content["judge"]["model"] == "judge-1"
    assert content["judge"]["temperature"] == 0
    assert len(content["judge"]["prompt_sha256"]) == 64
    [kept] = folder.glob("judgements-judge-1-*.jsonl")
    assert read_json_lines(kept)[0]["model"] == "judge-1-0613"
    # again: nothing is asked; another answer: that one alone
    judged(folder, server)
    assert len(server.asked) == 2
    rows = read_json_lines(folder / "answers.jsonl")
    rows[1]["answer"] = "a man"
    write_json_lines(folder / "answers.jsonl", rows)
    judged(folder, server)
    assert len(server.asked) == 3
    assert "a man" in server.asked[-1]["messages"][0]["content"]


def test_a_judgement_that_cannot_be_read_is_asked_again_and_then_a_failure(
    tmp_path, server, mm_vet
):
    answers = {"v1_0": "stubborn", "v1_1": "slow"}
    folder = write_answers(tmp_path / "run", mm_vet, answers, dataset="mmvet")

    def judge(body):
        if "stubborn" in body["messages"][0]["content"]:
            return "correct"
        return "0.5 points" if body["temperature"] == 1 else "1.5"  # out of range

    server.judge = judge
    outcome = judged(folder, server)
    assert outcome.refused
    assert outcome.summary.incomplete == "of 2 samples 1 not scored"
    stubborn = [b for b in server.asked if "stubborn" in b["messages"][0]["content"]]
    assert [b["temperature"] for b in stubborn] == [0, 0, 0.5, 1, 1.5, 2]
    ending = "\nPredict the correctness of the answer (digit): "
    ends = [b["messages"][0]["content"].endswith(ending) for b in stubborn]
    assert ends == [False, *[True] * 5]
    failed, slow = read_json_lines(folder / "scores.jsonl")
    assert failed["score"] is None
    assert "cannot be read: 'correct'" in failed["error"]
    assert slow["score"] == 0.5
    partial = judged(folder, server, partial=True)  # a later run asks about the failed one alone
    assert partial.summary.figures == {"total": 50}
    assert all("slow" not in b["messages"][0]["content"] for b in server.asked[-6:])


def test_a_request_that_the_judge_refuses_is_no_zero_and_a_judge_that_is_gone_ends_the_run(
    tmp_path, server, mm_vet
):
    answers = {"v1_0": "improper", "v1_1": "fine"}
    folder = write_answers(tmp_path / "run", mm_vet, answers, dataset="mmvet")
    server.judge = lambda body: 400 if "improper" in body["messages"][0]["content"] else "1"
    outcome = judged(folder, server, partial=True)
    assert (outcome.summary.failed, outcome.summary.figures) == (1, {"total": 100})
    assert "gave no judgement" in read_json_lines(folder / "scores.jsonl")[0]["error"]
    config = ScoreConfig(
        folders=(folder,), judge_base_url="http://127.0.0.1:9/v1", judge_model="judge-1"
    )
    with pytest.raises(ApipromptError, match="cannot reach"):
        score(config, QUIET)


def test_llava_bench_is_graded_beside_gpt_4s_answer(tmp_path, server, photographs):
    home = tmp_path / "LLaVA_Wild" / "llava-bench-in-the-wild"
    write_llava_wild(home, photographs)
    write_json_lines(home / "context.jsonl", [{"image": "001.jpg", "caption": "A cat looks."}])
    gpt_4 = [{"question_id": n, "text": f"GPT-4 on {n}"} for n in (0, 1)]
    write_json_lines(home / "answers_gpt4.jsonl", gpt_4)
    rows = rows_of(get_dataset("LLaVA_Wild", tmp_path))
    assert rows[0]["gpt_answer"] == "GPT-4 on 0"
    answers = {"0": "A tabby", "1": "Cosy"}
    folder = write_answers(tmp_path / "run", rows, answers, dataset="LLaVA_Wild")
    server.judge = lambda body: (
        "8 6\nBoth ..." if "tabby" in body["messages"][1]["content"] else "10, 9"
    )
    summary = judged(folder, server).summary
    assert summary.figures["relative to GPT-4"] == pytest.approx(100 * 15 / 18)
    assert (summary.figures["GPT-4"], summary.figures["model"]) == (90, 75)
    assert summary.by_category["conv"]["relative to GPT-4"] == 75
    [body] = [b for b in server.asked if "tabby" in b["messages"][1]["content"]]
    assert (body["temperature"], body["max_tokens"]) == (0.2, 1024)
    system, user = body["messages"]
    assert system["content"].startswith("You are a helpful and precise assistant for checking")
    assert user["content"].startswith(
        "[Context]\nA cat looks.\n\n[Question]\nWhat is the name of this animal's breed?\n\n"
        "[Assistant 1]\nGPT-4 on 0\n\n[End of Assistant 1]\n\n"
        "[Assistant 2]\nA tabby\n\n[End of Assistant 2]\n\n[System]\nWe would like to request "
    )
    assert user["content"].endswith("does not affect your judgment.\n\n")


def test_without_what_the_judge_needs_a_row_fails_and_says_what(tmp_path, server, photographs):
    root = tmp_path / "LLaVA_Wild" / "llava-bench-in-the-wild"
    write_llava_wild(root, photographs)
    (root / "context.jsonl").unlink()
    rows = rows_of(get_dataset("LLaVA_Wild", tmp_path))
    folder = write_answers(tmp_path / "run", rows, {"0": "a", "1": "b"}, dataset="LLaVA_Wild")
    assert judged(folder, server).summary.failed == 2
    assert server.asked == []
    assert "context.jsonl" in read_json_lines(folder / "scores.jsonl")[0]["error"]


def test_pairs_are_of_one_judge_and_cost_no_further_judgement(tmp_path, server, mm_vet):
    server.judge = lambda body: "0.4" if "| plain |" in body["messages"][0]["content"] else "0.9"
    for name, answer in (("PLAIN_mmvet-1", "plain"), ("API/m", "masked")):
        answers = {row["key"]: answer for row in mm_vet}
        judged(write_answers(tmp_path / name, mm_vet, answers, dataset="mmvet"), server)
    asked = len(server.asked)
    [effect] = compare(CompareConfig(folders=(tmp_path,)), QUIET).groups[0].effects
    assert effect.difference == pytest.approx(50)
    assert len(server.asked) == asked
    config = ScoreConfig(folders=(tmp_path / "API",), judge_base_url=server.url, judge_model="j-2")
    server.judge = lambda body: "1"
    score(config, QUIET)
    with pytest.raises(CompareError, match="judge's model is 'j-2', not 'judge-1'"):
        compare(CompareConfig(folders=(tmp_path / "PLAIN_mmvet-1", tmp_path / "API")), QUIET)


def test_a_judge_has_to_be_named(tmp_path, mm_vet):
    folder = write_answers(tmp_path / "run", mm_vet, {"v1_0": "x", "v1_1": "y"}, dataset="mmvet")
    with pytest.raises(UsageError, match="say which with --judge-base-url URL --judge-model"):
        score(ScoreConfig(folders=(folder,)), QUIET)


@pytest.mark.parametrize(
    ("judgement", "points"),
    [("0.5", 0.5), (" 1.0", 1), ("1", 1), ("0.7 |", 0.7), ("", None), ("-0.1", None),
     ("1.1", None), ("nan", None), ("good", None), ("0,5", None)],
)  # fmt: skip
def test_mm_vets_judgements(judgement, points):
    verdict = read_score(judgement)
    assert (verdict and verdict.score) == points


@pytest.mark.parametrize(
    ("judgement", "grades"),
    [("8 7\nbecause", [8, 7]), ("8,7", [8, 7]), ("8, 7.5", [8, 7.5]), ("8", None),
     ("8 7 6", None), ("Assistant 1: 8", None), ("-1 -1", None), ("85 90", None), ("", None)],
)  # fmt: skip
def test_llava_benchs_judgements(judgement, grades):
    verdict = read_grades(judgement)
    assert (verdict and verdict.parsed) == grades


def test_capabilities_are_a_list_on_disk_and_a_text_on_the_hub():
    assert list(groups({"capability": ["ocr", "math"]})) == ["ocr", "math", "math+ocr"]
    assert list(groups({"capability": "rec"})) == ["rec"]
    assert list(groups({"capability": "ocr,math"})) == ["ocr", "math", "math+ocr"]
