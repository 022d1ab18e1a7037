"""Settings against one baseline, on the samples that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from api_cli.scoring.columns import Column
from api_cli.scoring.statistics import Interval, bootstrap, holm, is_binary, mcnemar

SMALLEST_GROUP = 30
_TOLERANCE = 1e-12  # of scores that are sums of thirds


class Effect(NamedTuple):
    """A setting against the baseline; differences and scores in points, 0 to 100.

    Attributes:
        label: of the setting.
        score: its mean.
        difference: its mean less the baseline's.
        interval: of the difference, 95 %.
        won: samples that score higher than in the baseline.
        lost: samples that score lower.
        p: exact McNemar's, of scores that are 0 or 1; else None.
        p_holm: the same, corrected for the number of settings and groups in the table.
        megapixels: mean of what was sent.
    """

    label: str
    score: float
    difference: float
    interval: Interval
    won: int
    lost: int
    p: float | None
    p_holm: float | None
    megapixels: float


class Group(NamedTuple):
    """Some of the shared samples, and every setting on them.

    Attributes:
        name: of the group; empty for all samples.
        samples: how many.
        pictures: how many different ones they are about.
        baseline: mean score there, in points.
        baseline_megapixels: mean of what was sent there.
        effects: of the settings, in order.
    """

    name: str
    samples: int
    pictures: int
    baseline: float
    baseline_megapixels: float
    effects: list[Effect]


class Shared(NamedTuple):
    """Settings on the samples that all of them have, row by row the same sample.

    Attributes:
        labels: of the settings, the baseline first.
        scores: (N, 1 + M), the baseline first.
        megapixels: (N, 1 + M).
        clusters: (N,) number of the sample's picture, from 0.
        halves: (N,) whether a sample's picture is in the half that settings are chosen on.
        groups: of each sample.
    """

    labels: Sequence[str]
    scores: NDArray[np.float64]
    megapixels: NDArray[np.float64]
    clusters: NDArray[np.int64]
    halves: NDArray[np.bool_]
    groups: Sequence[tuple[str, ...]]

    def where(self, chosen: NDArray[np.bool_]) -> Shared:
        """Some of the samples, their pictures counted anew."""
        return Shared(
            self.labels,
            self.scores[chosen],
            self.megapixels[chosen],
            np.unique(self.clusters[chosen], return_inverse=True)[1].astype(np.int64),
            self.halves[chosen],
            [names for names, is_chosen in zip(self.groups, chosen, strict=True) if is_chosen],
        )

    def settings(self, chosen: Sequence[int]) -> Shared:
        """The baseline and some of the settings, by number from 1."""
        columns = [0, *chosen]
        return self._replace(
            labels=[self.labels[column] for column in columns],
            scores=self.scores[:, columns],
            megapixels=self.megapixels[:, columns],
        )


def share(columns: Sequence[Column], labels: Sequence[str]) -> Shared:
    """Bring settings, the baseline first, to the samples that all of them have."""
    places = [{key: place for place, key in enumerate(column.keys)} for column in columns]
    keys = [key for key in columns[0].keys if all(key in of for of in places)]
    rows = [np.array([of[key] for key in keys], dtype=np.int64) for of in places]
    first = rows[0].tolist()
    pictures = [columns[0].pictures[row] for row in first]
    numbers: dict[str, int] = {}
    clusters = [numbers.setdefault(picture, len(numbers)) for picture in pictures]
    return Shared(
        labels,
        np.column_stack([c.scores[at] for c, at in zip(columns, rows, strict=True)]),
        np.column_stack([c.megapixels[at] for c, at in zip(columns, rows, strict=True)]),
        np.array(clusters, dtype=np.int64),
        np.array([is_first_half(picture) for picture in pictures], dtype=np.bool_),
        [columns[0].groups[row] for row in first],
    )


def compare_groups(
    shared: Shared, names: Sequence[str], *, resamples: int, seed: int
) -> list[Group]:
    """The groups of these names; p values are corrected for all settings of all of them.

    Args:
        shared: settings on shared samples.
        names: of groups; the empty one has all samples.
        resamples: of the bootstrap.
        seed: of it.
    """
    groups = []
    for name in names:
        chosen = np.array([not name or name in of for of in shared.groups], dtype=np.bool_)
        groups.append(_compare(name, shared.where(chosen), resamples, seed))
    p_values = [effect.p for group in groups for effect in group.effects if effect.p is not None]
    corrected = iter(holm(p_values))
    return [
        group._replace(
            effects=[
                effect if effect.p is None else effect._replace(p_holm=next(corrected))
                for effect in group.effects
            ]
        )
        for group in groups
    ]


def group_sizes(shared: Shared) -> dict[str, int]:
    """Names of groups and how many samples they have, by name."""
    sizes: dict[str, int] = {}
    for names in shared.groups:
        for name in names:
            sizes[name] = sizes.get(name, 0) + 1
    return dict(sorted(sizes.items()))


def best_on_half(shared: Shared, candidates: Sequence[int]) -> int:
    """Number of the candidate whose mean is highest on the half that settings are chosen on."""
    means = shared.scores[shared.halves].mean(axis=0)
    return max(candidates, key=lambda candidate: float(means[candidate]))


def _compare(name: str, shared: Shared, resamples: int, seed: int) -> Group:
    scores = shared.scores
    differences = scores[:, 1:] - scores[:, :1]  # (N, M)
    differences[np.abs(differences) < _TOLERANCE] = 0
    intervals = bootstrap(differences, shared.clusters, resamples=resamples, seed=seed)
    binary = is_binary(scores)
    effects = []
    for number, label in enumerate(shared.labels[1:]):
        won = int((differences[:, number] > 0).sum())
        lost = int((differences[:, number] < 0).sum())
        effects.append(
            Effect(
                label,
                100 * float(scores[:, number + 1].mean()),
                100 * float(differences[:, number].mean()),
                Interval(*(100 * end for end in intervals[number])),
                won,
                lost,
                mcnemar(won, lost) if binary else None,
                None,
                float(shared.megapixels[:, number + 1].mean()),
            )
        )
    return Group(
        name,
        len(scores),
        int(shared.clusters.max()) + 1,
        100 * float(scores[:, 0].mean()),
        float(shared.megapixels[:, 0].mean()),
        effects,
    )


def is_first_half(picture: str) -> bool:
    """By the picture alone, so that a half is the same for every table and every model."""
    return sha256(picture.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0
