"""Intervals and p values against scipy's and statsmodels', and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from statsmodels.stats.contingency_tables import mcnemar as other_mcnemar
from statsmodels.stats.multitest import multipletests

from api_cli.scoring.statistics import bootstrap, holm, is_binary, mcnemar


def each_its_own(number):
    return np.arange(number, dtype=np.int64)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_interval_is_scipys(seed):
    generator = np.random.default_rng(seed)
    differences = generator.choice([-1.0, 0.0, 1.0], size=200, p=[0.2, 0.5, 0.3])
    [ours] = bootstrap(differences[:, None], each_its_own(200))
    theirs = scipy.stats.bootstrap(
        (differences,), np.mean, n_resamples=10_000, method="percentile", rng=seed
    ).confidence_interval
    # both are draws: their ends agree to a few samples' worth of 1/200
    assert ours.low == pytest.approx(theirs.low, abs=0.011)
    assert ours.high == pytest.approx(theirs.high, abs=0.011)


def test_the_interval_of_clusters_is_that_of_their_means_where_all_are_of_one_size():
    generator = np.random.default_rng(0)
    pictures = generator.normal(size=100)
    values = np.repeat(pictures, 4) + generator.normal(scale=0.01, size=400)
    clusters = np.repeat(each_its_own(100), 4)
    [clustered] = bootstrap(values[:, None], clusters)
    theirs = scipy.stats.bootstrap(
        (values.reshape(100, 4).mean(axis=1),), np.mean, n_resamples=10_000, method="percentile",
        rng=0,
    ).confidence_interval  # fmt: skip
    assert clustered == pytest.approx((theirs.low, theirs.high), abs=0.02)
    [naive] = bootstrap(values[:, None], each_its_own(400))
    width, too_narrow = clustered.high - clustered.low, naive.high - naive.low
    assert width / too_narrow == pytest.approx(2, rel=0.15)  # the root of 4 questions a picture


def test_clusters_of_many_sizes_are_drawn_whole():
    """Against a literal loop over drawn clusters."""
    generator = np.random.default_rng(5)
    clusters = np.sort(generator.integers(0, 30, 120))
    clusters = np.unique(clusters, return_inverse=True)[1]
    values = generator.normal(size=120) + clusters / 10
    members = [values[clusters == c] for c in range(clusters.max() + 1)]
    means = []
    for _ in range(4000):
        drawn = generator.integers(0, len(members), len(members))
        means.append(np.concatenate([members[c] for c in drawn]).mean())
    [ours] = bootstrap(values[:, None], clusters, resamples=4000)
    assert ours == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.12)


def test_draws_depend_on_the_seed_alone():
    values = np.random.default_rng(0).normal(size=(500, 3))
    same = [bootstrap(values, each_its_own(500), resamples=500, seed=7) for _ in range(2)]
    assert same[0] == same[1] != bootstrap(values, each_its_own(500), resamples=500, seed=8)
    # a setting's interval is the same whoever stands beside it
    assert bootstrap(values[:, :1], each_its_own(500), resamples=500, seed=7)[0] == pytest.approx(
        same[0][0]
    )


@pytest.mark.parametrize(
    ("won", "lost"), [(0, 0), (1, 0), (5, 5), (23, 14), (51, 19), (77, 22), (0, 30), (900, 1000)]
)
def test_mcnemar_is_statsmodels_and_scipys(won, lost):
    theirs = other_mcnemar([[50, won], [lost, 50]], exact=True).pvalue if won + lost else 1.0
    assert mcnemar(won, lost) == pytest.approx(min(1.0, theirs), rel=1e-9)
    if won + lost:
        binomial = scipy.stats.binomtest(won, won + lost).pvalue
        assert mcnemar(won, lost) == pytest.approx(binomial, rel=1e-9)


def test_mcnemar_of_what_a_study_published():
    assert mcnemar(51, 19) == pytest.approx(2e-4, rel=0.2)
    assert mcnemar(57, 36) == pytest.approx(0.038, abs=0.001)
    assert mcnemar(20_000, 20_001) == 1


@pytest.mark.parametrize(
    "p_values", [[0.01, 0.04, 0.03], [0.5], [0.2, 0.2, 0.9, 0.001], [0.9, 0.8, 0.7], []]
)
def test_holm_is_statsmodels(p_values):
    theirs = multipletests(p_values, method="holm")[1].tolist() if p_values else []
    assert holm(p_values) == pytest.approx(theirs)


def test_a_null_difference_is_found_in_one_of_twenty_pairs_and_a_planted_one_mostly():
    """1,000 simulated pairs of 200 samples of 100 pictures, whose two questions go together."""
    generator = np.random.default_rng(11)
    trials, pictures = 1000, 100
    clusters = np.repeat(each_its_own(pictures), 2)

    def answers(chance):
        hard = generator.random((trials, pictures, 1)) < 0.5
        right = generator.random((trials, pictures, 2)) < np.where(hard, chance - 0.2, chance + 0.2)
        return right.reshape(trials, -1).astype(np.float64)

    plain, null, better = answers(0.6), answers(0.6), answers(0.72)
    # 1,000 columns are 1,000 pairs: they share draws, not samples
    null_intervals = bootstrap((null - plain).T, clusters, resamples=2000)
    found = sum(not low <= 0 <= high for low, high in null_intervals)
    assert 30 <= found <= 75, found  # 50 expected, with a standard deviation of 7
    one_a_picture = zip(plain[:, ::2], null[:, ::2], strict=True)
    p_values = [mcnemar(int((b > a).sum()), int((b < a).sum())) for a, b in one_a_picture]
    assert sum(p < 0.05 for p in p_values) <= 65  # exact: one in twenty at most, give or take
    planted = bootstrap((better - plain).T, clusters, resamples=2000)
    assert sum(low > 0 for low, _ in planted) > 600
    assert not any(high < 0 for _, high in planted)


def test_scores_that_are_not_0_or_1_are_known():
    assert is_binary(np.array([0.0, 1.0, 1.0]))
    assert not is_binary(np.array([0.0, 0.3]))
