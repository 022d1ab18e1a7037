"""Batch sizes: as asked for and halved, or grown to what does best."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from api_cli.runs.batch_size import FixedSize, GrowingSize
from api_cli.runs.run_folder import RunFolder
from tests.api_cli.runs.test_belt import Thresholds, jobs, make_belt


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder(tmp_path / "run", {}, {}, image_format="jpg")


def work(size: GrowingSize, batches: int, fits: int, rate: Callable[[int], float]) -> list[int]:
    """Sizes of batches on a device that holds so many samples; parts of a batch as on the belt."""
    tried: list[int] = []

    def compute(samples: int) -> None:
        tried.append(samples)
        if samples <= fits:
            size.fitted(samples, samples / rate(samples))
            return
        size.did_not_fit(samples)
        half = (samples + 1) // 2
        compute(half)
        compute(samples - half)

    for _ in range(batches):
        compute(size.size)
    return tried


def test_it_grows_while_that_is_faster_and_goes_back_to_the_best():
    size = GrowingSize(8)
    tried = work(size, 9, 10_000, lambda n: min(n, 32.0))
    assert tried == [8, 8, 16, 16, 32, 32, 64, 64, 32]


@pytest.mark.parametrize("fits", [1, 2, 5, 7, 8, 9, 13, 47, 48, 60, 63, 64, 100, 511])
def test_it_finds_the_largest_that_fits(fits):
    size = GrowingSize(8)
    tried = work(size, 60, fits, float)
    found = min(fits, 64)  # eight times the model's wish
    assert found - max(1, found // 8) <= size.size <= found
    assert len([n for n in tried if n > fits]) <= 7, "few attempts are lost"
    assert tried[-10:] == [size.size] * 10, "it comes to rest"


def test_it_never_grows_beyond_eight_times_the_wish():
    size = GrowingSize(64)
    assert max(work(size, 40, 10_000, float)) == size.size == 512


def test_rests_and_slow_starts_do_not_count():
    size = GrowingSize(8)
    size.fitted(8, 100.0)  # warms up
    size.fitted(3, 1000.0)  # the last samples of a run
    size.fitted(8, 1.0)
    assert size.size == 16
    size.fitted(16, 1.0)
    size.fitted(16, 50.0)  # a pause of the machine
    assert size.size == 32


def test_what_fitted_and_does_not_any_more_is_cut_for_good():
    size = GrowingSize(8)
    work(size, 30, 40, float)
    before = size.size
    size.did_not_fit(before)
    assert size.size == before * 3 // 4
    size.fitted(size.size, 1.0)
    assert size.size == before * 3 // 4


def test_a_size_that_was_asked_for_never_grows():
    size = FixedSize(8)
    for _ in range(10):
        size.fitted(8, 0.001)
    assert size.size == 8
    size.did_not_fit(8)
    size.fitted(4, 0.001)
    assert size.size == 4
    size.did_not_fit(1)
    assert size.size == 1


@pytest.mark.parametrize(("fits", "largest"), [(23, range(21, 24)), (5, range(5, 6))])
def test_auto_grows_and_shrinks_on_the_belt(fits, largest, folder, photographs):
    model = Thresholds(fits=fits, seconds=0.002)
    belt = make_belt(model, batch_size="auto")
    report = belt.run(jobs(folder, photographs, ["?"] * 200))
    assert (report.finished, report.failed) == (200, 0)
    assert max(n for n in model.batches if n <= fits) in largest
    assert sum(n > fits for n in model.batches) <= 4
