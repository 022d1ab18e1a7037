"""Asking a model in this process: the same files, the same resume, as batches of any size."""

from __future__ import annotations

import shutil

import pytest

from api_cli.asking.answers import read_answers
from api_cli.asking.ask import ask
from api_cli.errors import ModelError, UsageError
from api_cli.options.ask import AskConfig
from api_cli.relevance.llava.checkpoint import DEMO_FOLDER
from tests.api_cli.asking.conftest import QUIET, write_run

pytestmark = pytest.mark.model


def ask_demo(tmp_path, **flags):
    flags = {"model": "demo", "output_folder": tmp_path / "out", "max_tokens": 20} | flags
    report = ask(AskConfig(backend="hf", **flags), QUIET)
    return report, [read_answers(folder) for folder in report.folders]


def texts(answers):
    return {key: row["answer"] for key, row in sorted(answers.answers.items())}


def test_answers_are_resumed_and_do_not_depend_on_the_batch(tmp_path):
    first, _ = ask_demo(tmp_path, range=(0, 5), batch_size=2)
    rest, [answers] = ask_demo(tmp_path, range=(0, 12), batch_size=5)
    assert (first.finished, rest.finished) == (5, 7)
    _, [alone] = ask_demo(tmp_path, range=(0, 12), batch_size=1, output_folder=tmp_path / "alone")
    assert texts(answers) == texts(alone)
    right = [
        row["answer"] == answers.questions[key]["answer"] for key, row in answers.answers.items()
    ]
    assert sum(right) >= 9, "the demo LLaVA knows most of the demo set"
    assert {row["finish_reason"] for row in answers.answers.values()} == {"stop"}
    assert answers.settings["weights"]
    again, _ = ask_demo(tmp_path, range=(0, 12))
    assert again.finished == 0


def test_a_folder_with_a_chat_template_answers_as_the_demo_does(tmp_path):
    copy = shutil.copytree(DEMO_FOLDER, tmp_path / "models" / "copy")
    _, [demo] = ask_demo(tmp_path, range=(0, 6))
    _, [folder] = ask_demo(tmp_path, range=(0, 6), model=str(copy))
    assert texts(demo) == texts(folder)
    assert folder.folder.name.startswith("copy-")


def test_a_length_that_does_not_do_is_told_from_an_end(tmp_path):
    _, [answers] = ask_demo(tmp_path, range=(0, 3), max_tokens=1)
    assert {row["finish_reason"] for row in answers.answers.values()} == {"length"}
    assert {row["completion_tokens"] for row in answers.answers.values()} == {1}


def test_a_picture_that_cannot_be_read_costs_one_row(tmp_path):
    run = write_run(DEMO_FOLDER, tmp_path / "out", dataset="demo")
    (run / "002.jpg").write_bytes(b"no picture")
    report, [answers] = ask_demo(tmp_path, runs=(run,), range=(0, 4), batch_size=4)
    assert (report.finished, report.failed) == (3, 1)
    assert answers.missing == ["002"]


def test_a_seed_draws_the_same_answers_again_whatever_the_batch(tmp_path):
    def draw(seed, batch_size):
        output = tmp_path / f"{seed}-{batch_size}"
        flags = {"seed": seed, "batch_size": batch_size, "output_folder": output}
        _, [answers] = ask_demo(tmp_path, range=(0, 4), temperature=6, **flags)
        assert answers.missing == []
        return texts(answers)

    assert draw(1, 1) == draw(1, 4)
    assert draw(1, 1) != draw(2, 1)


@pytest.mark.parametrize("kind", ["missing", "empty", "no template"])
def test_a_model_that_will_not_do_says_so(kind, tmp_path):
    folder = tmp_path / "model"
    if kind != "missing":
        folder.mkdir()
    if kind == "no template":
        shutil.copytree(DEMO_FOLDER, folder, dirs_exist_ok=True)
        (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="--model"):
        ask_demo(tmp_path, range=(0, 1), model=str(folder))


def test_what_is_a_servers_does_not_go_with_a_model_in_process(tmp_path):
    with pytest.raises(UsageError, match="--base-url is a server's"):
        ask_demo(tmp_path, base_url="http://localhost/v1")
