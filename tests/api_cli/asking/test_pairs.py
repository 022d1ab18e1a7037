"""Runs that made two pictures of each sample: both are asked about, and both count."""

from __future__ import annotations

from hashlib import sha256

import pytest

from tests.api_cli.asking.conftest import sets, write_pictures, write_run
from tests.api_cli.asking.servers import pictures_of, text_of
from tests.layouts import write_mmmu


@pytest.fixture
def run(tmp_path):
    root = write_pictures(tmp_path / "pictures", 3)
    return write_run(root, tmp_path / "out", pairs=True)


def test_both_pictures_are_sent_the_original_first(run, asking, server):
    [answers] = sets(asking(run))
    by_text = {text_of(body): pictures_of(body) for body in server.asked}
    for i in range(3):
        files = [run / f"k{i}.jpg", run / f"k{i}.crop.jpg"]
        assert by_text[f"What is {i}?"] == [file.read_bytes() for file in files]
        sent = answers.answers[f"k{i}"]["sent"]
        assert [picture["file_name"] for picture in sent] == [file.name for file in files]
        digests = [sha256(file.read_bytes()).hexdigest() for file in files]
        assert [picture["sha256"] for picture in sent] == digests


@pytest.mark.parametrize("changed", ["k1.jpg", "k1.crop.jpg"])
def test_an_answer_counts_as_long_as_both_pictures_are_the_same(changed, run, asking):
    assert asking(run).finished == 3
    assert asking(run).finished == 0
    (run / changed).write_bytes((run / "k0.jpg").read_bytes())
    assert asking(run).finished == 1


def test_a_prompt_that_shows_the_original_shows_it_once(run, asking, server):
    asking(run, plain=True, prompt="with_original", range=(0, 1))
    first, second = ((run / name).read_bytes() for name in ("k0.jpg", "k0.crop.jpg"))
    sent = [pictures_of(body) for body in server.asked]
    assert sorted(sent) == sorted([[first, second], [first, first]])
    assert asking(run, plain=True, prompt="with_original", range=(0, 1)).finished == 0


def test_the_prompt_for_crops_says_what_the_second_picture_is(run, asking, server):
    asking(run, prompt="with_crop", range=(0, 1))
    [body] = server.asked
    assert len(pictures_of(body)) == 2
    assert "The second image is a part of the first one" in text_of(body)


def test_pairs_of_one_question_stay_together(tmp_path, photographs, asking, server):
    write_mmmu(tmp_path / "MMMU" / "MMMU", photographs)
    run = write_run(tmp_path, tmp_path / "out", dataset="MMMU", pairs=True)
    [answers] = sets(asking(run))
    several = [row["sent"] for row in answers.answers.values() if len(row["sent"]) > 2]
    assert several
    for sent in several:
        stems = [picture["file_name"].split(".")[0] for picture in sent]
        assert stems[::2] == stems[1::2]
        assert [".crop." in picture["file_name"] for picture in sent] == (
            [False, True] * (len(sent) // 2)
        )
