"""A server that is busy, broken, strict or gone: what it costs, and what is said."""

from __future__ import annotations

import socket
import time
from functools import partial

import pytest

from api_cli.asking.client import Server, ServerError, ask_all
from api_cli.asking.exchange import Failure, Prompt, Reply, Request, Sampling
from api_cli.errors import UsageError
from tests.api_cli.asking.conftest import sets, write_pictures, write_run


@pytest.fixture
def run(tmp_path):
    return write_run(write_pictures(tmp_path / "pictures", 6), tmp_path / "out")


def talk(server, texts, sampling=None, **options):
    """What becomes of requests of text alone, as a judge sends them; by text."""
    requests = (Request(text, partial(Prompt, text)) for text in texts)
    where = Server(server.url, options.pop("model", "small"), **{"timeout": 5, **options})
    outcomes = list(ask_all(requests, where, sampling or Sampling()))
    return {outcome.request.key: outcome for outcome in outcomes}


@pytest.mark.parametrize(
    "faults",
    [
        [(429, {"error": {"message": "slow"}}, {"retry-after": "0.1"})],
        [500],
        [503, (429, {}, {"retry-after": "0.05"})],
        ["reset"],
        [408, 409],
    ],
)
def test_a_busy_or_broken_server_is_asked_again(faults, server):
    server.faults["b"] = list(faults)
    outcomes = talk(server, "abc")
    assert all(isinstance(outcome, Reply) for outcome in outcomes.values())
    assert server.texts().count("b") == 1 + len(faults)
    assert server.texts().count("a") == server.texts().count("c") == 1


def test_retry_after_is_heeded(server):
    server.faults["a"] = [(429, {}, {"retry-after": "0.7"})]
    talk(server, "a")
    assert server.times[1] - server.times[0] >= 0.7


@pytest.mark.parametrize(
    ("fault", "says", "status"),
    [
        (400, "planned 400", 400),
        (413, "planned 413", 413),
        (422, "planned 422", 422),
        (500, "planned 500", 500),
        ("hang", "no reply within 0.3 s", None),
        ("malformed", "cannot be read", None),
        ("html", "cannot be read", None),
        ("reset", "no connection", None),
        ((200, {"choices": []}), "no answer in it", None),
        ((200, {"error": {"message": "overloaded"}}), "overloaded", None),
        ((200, [1]), "no answer in it", None),
        ((200, {"choices": [{"message": None}]}), "not as OpenAI's", None),
    ],
)
def test_a_request_that_fails_costs_one_row_and_is_no_answer(
    fault, says, status, run, asking, server
):
    server.faults["What is 2?"] = [fault]
    report = asking(run, retries=0, timeout=0.3)
    [answers] = sets(report)
    assert (report.finished, report.failed) == (5, 1)
    assert answers.missing == ["k2"]
    assert says in answers.errors["k2"]["error"]
    assert answers.errors["k2"].get("status") == status
    [mended] = sets(asking(run))
    assert mended.missing == []
    assert mended.errors == {}
    assert not (mended.folder / "errors.jsonl").exists()
    assert len(server.asked) == 7, "only the one that failed is asked again"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_stops_at_once_and_says_where_it_comes_from(status, server, monkeypatch):
    server.faults["*"] = [status] * 99
    monkeypatch.delenv("SOME_KEY", raising=False)
    with pytest.raises(ServerError, match=r"\$SOME_KEY is not set") as raised:
        talk(server, "abcdefgh", api_key_env="SOME_KEY", concurrency=2)
    assert str(status) in str(raised.value)
    monkeypatch.setenv("SOME_KEY", "wrong-key-000000000")
    with pytest.raises(ServerError, match=r"put the right one into \$SOME_KEY"):
        talk(server, "ab", api_key_env="SOME_KEY")
    assert len(server.asked) <= 4


@pytest.mark.parametrize("status", [404, 400])
def test_a_wrong_model_name_lists_those_there_are(status, server):
    server.models = ["llava-1.5-7b", "qwen"]
    server.faults["*"] = [status] * 99
    with pytest.raises(ServerError, match=r"--model llava.*it serves: llava-1.5-7b, qwen"):
        talk(server, "abcdefgh", model="llava", concurrency=1)
    assert len(server.asked) == 1


def test_a_model_that_is_not_listed_but_answers_is_asked(server):
    server.models = ["something-else"]
    assert isinstance(talk(server, "a")["a"], Reply)


def test_a_server_that_is_not_there_is_said_in_one_line(run, asking):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(
            ServerError, match=r"cannot reach http://127.*Is the server running"
        ) as e:
            asking(run, base_url=url)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("fault", ["reset", 500, 400])
def test_a_server_that_has_gone_stops_the_run_early(fault, run, asking, server):
    asking(run, range=(0, 2))
    server.faults["*"] = [fault] * 999
    with pytest.raises(ServerError, match=r"gave up .* after 3 failures in a row"):
        asking(run, retries=0, concurrency=1, limit_errors=3)
    assert len(server.asked) == 2 + 3
    server.faults.clear()
    [answers] = sets(asking(run))
    assert answers.missing == []
    assert len(server.asked) == 2 + 3 + 4, "what stood was not asked again"


def test_failures_between_answers_stop_nothing(server):
    for text in "bdfhj":
        server.faults[text] = [400]
    outcomes = talk(server, "abcdefghij", concurrency=1, limit_errors=2)
    assert sum(isinstance(outcome, Failure) for outcome in outcomes.values()) == 5
    server.faults["*"] = [400] * 99
    assert len(talk(server, "abcdefghij", concurrency=1, limit_errors=0)) == 10


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_token_field_is_found_out_once(field, server):
    other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[field]
    message = f"Unsupported parameter: '{field}'. Use '{other}' instead."
    server.faults["a"] = [(400, {"error": {"message": message, "param": field}})]
    says: list[str] = []
    requests = [Request(text, partial(Prompt, text)) for text in "abc"]
    where = Server(server.url, "small", concurrency=1)
    outcomes = list(ask_all(requests, where, Sampling(max_tokens=5), says.append))
    if field == "max_tokens":
        assert all(isinstance(outcome, Reply) for outcome in outcomes)
        assert [other in body for body in server.asked] == [False, True, True, True]
        assert says == [f"the server takes {other} instead of {field}"]
    else:  # it was not asked for, so the message is another matter
        assert isinstance(outcomes[0], Reply)
    fixed = talk(server, "a", token_field=field)
    assert isinstance(fixed["a"], Reply)
    server.faults["a"] = [(400, {"error": {"message": message, "param": field}})]
    assert isinstance(talk(server, "a", token_field=field)["a"], Failure)


def test_a_temperature_the_model_will_not_have_names_the_way_out(server):
    message = "Unsupported value: 'temperature' does not support 0 with this model."
    server.faults["*"] = [(400, {"error": {"message": message, "param": "temperature"}})] * 9
    with pytest.raises(ServerError, match="--temperature none"):
        talk(server, "ab", concurrency=1)


def test_no_more_requests_at_once_than_asked_for(server):
    server.seconds = 0.02
    talk(server, [str(i) for i in range(40)], concurrency=4)
    assert server.most_at_once == 4


def test_the_pace_counts_tries_as_well(server):
    server.faults["a"] = [500]
    start = time.monotonic()
    talk(server, "abcd", rpm=600, concurrency=4)
    assert len(server.times) == 5
    # one every 0.1 s, the look at what is served among them
    assert all(at - start >= 0.1 * n - 0.01 for n, at in enumerate(server.times, start=1))


def test_requests_are_taken_as_there_is_room(server):
    taken = []

    def requests():
        for number in range(50):
            taken.append(number)
            yield Request(str(number), partial(Prompt, str(number)))

    talking = ask_all(requests(), Server(server.url, "small", concurrency=3), Sampling())
    for finished, _ in enumerate(talking, start=1):
        # the window, those that wait to be collected, and as many again begun by then
        assert len(taken) <= finished + 3 * 3
    assert len(taken) == 50


def test_what_is_in_flight_is_given_up_when_nobody_wants_more(server):
    server.seconds = 0.5
    talking = ask_all(
        (Request(str(n), partial(Prompt, str(n))) for n in range(100)),
        Server(server.url, "small", concurrency=4),
        Sampling(),
    )
    next(talking)
    start = time.monotonic()
    talking.close()
    assert time.monotonic() - start < 0.4
    assert len(server.asked) <= 12


def test_judges_may_be_asked_at_another_temperature_with_a_system_text(server):
    request = Request("k", lambda: Prompt("Grade it.", system="You are strict."))
    where = Server(server.url, "small")
    [reply] = ask_all([request], where, Sampling(max_tokens=3, temperature=0.5, seed=1))
    assert isinstance(reply, Reply)
    [body] = server.asked
    assert body["messages"] == [
        {"role": "system", "content": "You are strict."},
        {"role": "user", "content": "Grade it."},
    ]
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.5, 3, 1)


@pytest.mark.parametrize("key", ["two words", "n\u00e4h", "a\nb"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(key, server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", key)
    with pytest.raises(UsageError, match=r"\$SOME_KEY: expected a key") as raised:
        talk(server, "a", api_key_env="SOME_KEY")
    assert key not in str(raised.value)
