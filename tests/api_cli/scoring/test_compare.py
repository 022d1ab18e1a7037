"""Pairs: what is held against what, on which samples, and what makes no pair."""

from __future__ import annotations

import json
import resource
import time

import numpy as np
import pytest
import rich.console

from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.compare import CompareConfig
from api_cli.scoring.compare import CompareError, compare
from api_cli.scoring.comparison_table import comparison_table
from api_cli.scoring.statistics import mcnemar
from api_cli.scoring.tables import as_text, for_terminal
from tests.answers import PROMPT, SETTINGS, write_answers

QUIET = Console(quiet=True)


def rows_of(number, a_picture=1):
    return [
        {
            "key": str(n),
            "index": n,
            "question": f"Which is {n}?",
            "answer": "red",
            "category": "odd" if n % 2 else "even",
            "image_sha256": f"{n // a_picture:064x}",
        }
        for n in range(number)
    ]


def right(keys, number=60):
    """Answers that are right for these keys and wrong for the others."""
    keys = set(keys)
    return {str(n): "red" if n in keys else "blue" for n in range(number)}


@pytest.fixture
def pair(tmp_path):
    """Plain: 40 of 60 right; masked: 5 of those lost, 12 of the others won."""
    write_answers(tmp_path / "PLAIN_x-1", rows_of(60), right(range(40)), size=(1000, 500))
    masked = tmp_path / "APICLIP_x_demo_3" / "5_3_LANCZOS_0"
    write_answers(masked, rows_of(60), right([*range(5, 40), *range(48, 60)]))
    return tmp_path


def test_a_pair_is_held_against_the_plain_answers_whatever_the_order(pair):
    folders = (pair / "APICLIP_x_demo_3", pair / "PLAIN_x-1")
    found = compare(CompareConfig(folders=folders), QUIET)
    assert found.baseline == "plain"
    [group] = found.groups
    [effect] = group.effects
    assert effect.label == "APICLIP_x_demo_3/5_3_LANCZOS_0"
    assert (group.samples, group.pictures) == (60, 60)
    assert group.baseline == pytest.approx(100 * 40 / 60)
    assert effect.difference == pytest.approx(100 * 7 / 60)
    assert (effect.won, effect.lost) == (12, 5)
    assert effect.p == effect.p_holm == mcnemar(12, 5)
    low, high = effect.interval
    assert low < effect.difference < high
    assert (group.baseline_megapixels, effect.megapixels) == pytest.approx((0.5, 0.1))


def test_by_category_groups_of_thirty_or_more_are_compared_and_small_ones_named(tmp_path):
    rows = rows_of(64)
    rows[0]["category"] = rows[1]["category"] = "rare"
    write_answers(tmp_path / "PLAIN_x-1", rows, right(range(40), 64))
    write_answers(tmp_path / "API" / "m", rows, right(range(0, 64, 2), 64))
    found = compare(CompareConfig(folders=(tmp_path,), by="category"), QUIET)
    assert [(group.name, group.samples) for group in found.groups] == [
        ("", 64), ("even", 31), ("odd", 31),
    ]  # fmt: skip
    even, odd = (group.effects[0] for group in found.groups[1:])
    assert (even.won, even.lost, odd.won, odd.lost) == (12, 0, 0, 19)
    assert found.notes[-1] == "groups of less than 30 samples left out: rare (2)"
    p_values = [mcnemar(e.won, e.lost) for group in found.groups for e in group.effects]
    assert odd.p_holm == pytest.approx(3 * min(p_values))
    by_answer = compare(CompareConfig(folders=(tmp_path,), by="answer"), QUIET)
    assert [group.name for group in by_answer.groups] == ["", "red"]


def test_what_is_not_scored_everywhere_is_dropped_aloud(pair):
    other = right(range(60))
    del other["3"], other["59"]
    write_answers(pair / "APICLIP_x_demo_3" / "1_3_LANCZOS_0", rows_of(60), other)
    found = compare(CompareConfig(folders=(pair,)), QUIET)
    assert found.groups[0].samples == 58
    assert found.notes == ["2 of 60 samples dropped: 1_3_LANCZOS_0 lacks 2"]
    assert [e.label for e in found.groups[0].effects] == ["1_3_LANCZOS_0", "5_3_LANCZOS_0"]


@pytest.mark.parametrize(
    ("settings", "answer", "about", "named"),
    [
        ({"model": "other"}, {}, {}, "model is 'other', not 'some/model'"),
        ({"temperature": 1}, {}, {}, "temperature is 1, not 0"),
        ({"seed": 3}, {}, {}, "seed is 3, not None"),
        ({"prompt": PROMPT | {"text": "Look. {question}"}}, {}, {}, "prompt's text is 'Look"),
        ({"prompt": PROMPT | {"images": ["original", "masked"]}}, {}, {}, "prompt's images is"),
        ({"max_side": 512}, {}, {}, "max_side is 512"),
        ({}, {"model": "some/model-0613"}, {}, "as the server names it is 'some/model-0613'"),
        ({}, {"text": "another question"}, {}, "the text sent is another for 60 samples"),
        ({}, {}, {"format": "png"}, "pictures' encoding is"),
        ({}, {}, {"dataset": "y"}, "dataset is 'y'"),
    ],
)
def test_what_differs_in_more_than_the_picture_is_refused(pair, settings, answer, about, named):
    write_answers(
        pair / "APILLaVA" / "m", rows_of(60), right([]), settings=SETTINGS | settings, about=about,
        **answer,
    )  # fmt: skip
    with pytest.raises(CompareError, match="in more than the picture") as error:
        compare(CompareConfig(folders=(pair,)), QUIET)
    assert named in str(error.value)
    assert "differs from plain" in str(error.value)


def test_a_second_round_shows_answers_of_its_own(tmp_path):
    settings = SETTINGS | {"prompt": PROMPT | {"text": "{question} Before: {answer}"}}
    for name, text in (("PLAIN_x-1", "Before: red"), ("API/m", "Before: blue")):
        run = tmp_path / name
        write_answers(run, rows_of(40), right([], 40), settings=settings, text=text)
    assert compare(CompareConfig(folders=(tmp_path,)), QUIET).groups[0].samples == 40


def test_the_best_of_many_is_chosen_on_one_half_and_reported_on_the_other(tmp_path, capsys):
    """Ten settings that do nothing: the best of them looks good where it was chosen."""
    generator = np.random.default_rng(0)
    rows = rows_of(200, a_picture=2)

    def by_chance():
        return right(np.flatnonzero(generator.random(200) < 0.5), 200)

    write_answers(tmp_path / "PLAIN_x-1", rows, by_chance())
    for number in range(10):
        write_answers(tmp_path / "API" / f"{number}_3", rows, by_chance())
    control = {"shuffle_masks": 1}
    write_answers(tmp_path / "API" / "control", rows, right(range(200), 200), about=control)
    everything = compare(CompareConfig(folders=(tmp_path,)), Console())
    assert "best of 10 settings" in capsys.readouterr().err
    assert len(everything.groups[0].effects) == 11
    half = compare(CompareConfig(folders=(tmp_path,), select_on="half"), Console())
    assert "best of" not in capsys.readouterr().err
    [effect] = half.groups[0].effects
    assert effect.label == half.chosen != "control"  # another sample's masks are no setting
    assert half.groups[0].samples == 2 * half.groups[0].pictures  # a picture is in one half
    assert 70 < half.groups[0].samples < 130
    assert effect.interval.low < 0 < effect.interval.high
    assert f"{half.chosen} was chosen as the best of 10 on" in half.notes[0]


def test_scores_between_0_and_1_have_an_interval_and_no_mcnemar(tmp_path):
    people = [["red"] * 2 + ["blue"] * 8] * 40  # 0.6 for red, 1 for blue
    rows = [row | {"answers": some} for row, some in zip(rows_of(40), people, strict=True)]
    write_answers(tmp_path / "PLAIN_x-1", rows, right(range(40), 40), dataset="textVQA")
    write_answers(tmp_path / "API" / "m", rows, right(range(20), 40), dataset="textVQA")
    found = compare(CompareConfig(folders=(tmp_path,)), QUIET)
    [effect] = found.groups[0].effects
    assert (effect.score, effect.difference, effect.won, effect.lost) == pytest.approx(
        (80, 20, 20, 0)
    )
    assert effect.p is None
    assert "p" not in comparison_table(found).head


def test_tables_for_scripts_and_for_terminals(pair):
    write_answers(pair / "APICLIP_x_demo_3" / "1_3_LANCZOS_0", rows_of(60), right(range(60)))
    found = compare(CompareConfig(folders=(pair,), by="category"), QUIET)
    table = comparison_table(found)
    content = json.loads(as_text(table, "json"))
    assert (content["baseline"], content["same"]["metric"]) == ("plain", "exact")
    assert len(content["rows"]) == 9
    assert as_text(table, "csv").splitlines()[0].startswith("group,setting,n,pictures,score,")
    assert as_text(table, "csv").splitlines()[1].startswith(",plain,60,60,66.6")
    markdown = as_text(table, "md").splitlines()
    assert {line.count("|") for line in markdown[:14]} == {9}
    for width in (80, 120):
        console = rich.console.Console(width=width)
        with console.capture() as capture:
            console.print(for_terminal(table))
        lines = capture.get().splitlines()
        assert max(map(len, lines)) <= width
        assert any("1_3_LANCZOS_0" in line and "+33.3" in line for line in lines)
        assert "…" not in capture.get()  # nothing is cut off


def test_one_folder_is_no_pair_and_strangers_share_nothing(tmp_path):
    write_answers(tmp_path / "a", rows_of(3), right([], 3))
    with pytest.raises(UsageError, match="name two or more"):
        compare(CompareConfig(folders=(tmp_path,)), QUIET)
    others = [row | {"key": f"other {row['key']}"} for row in rows_of(3)]
    write_answers(tmp_path / "b", others, {row["key"]: "x" for row in others})
    with pytest.raises(CompareError, match="no scored sample in common"):
        compare(CompareConfig(folders=(tmp_path,)), QUIET)


@pytest.mark.slow
def test_ten_thousand_samples_and_twelve_settings_take_seconds_and_little_memory(tmp_path):
    generator = np.random.default_rng(0)
    rows = rows_of(10_000, a_picture=3)
    for number in range(13):
        name = "PLAIN_x-1" if number == 0 else f"API/{number}"
        wanted = right(np.flatnonzero(generator.random(10_000) < 0.5), 10_000)
        write_answers(tmp_path / name, rows, wanted)
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.process_time()
    found = compare(CompareConfig(folders=(tmp_path,)), QUIET)
    seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before.ru_maxrss
    assert len(found.groups[0].effects) == 12
    print(f"{seconds:.1f} s of CPU, {grown / 1024:.0f} MB more")
    assert seconds < 30
    assert grown < 200 * 1024
