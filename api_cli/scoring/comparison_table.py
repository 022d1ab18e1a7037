"""A comparison as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api_cli.scoring.compare import Comparison
from api_cli.scoring.comparison import Effect, Group
from api_cli.scoring.tables import Table


def comparison_table(comparison: Comparison) -> Table:
    """Rows a setting, the baseline first; a block a group."""
    effects = [effect for group in comparison.groups for effect in group.effects]
    with_p = any(effect.p is not None for effect in effects)
    corrected = with_p and len(effects) > 1
    head = ["", "score", "difference", "95 %", "won/lost"]
    head += ["p"] if with_p else []
    head += ["Holm"] if corrected else []
    rows: list[list[str]] = []
    for group in comparison.groups:
        if len(comparison.groups) > 1:
            title = f"{group.name or 'all'}, n = {group.samples}"
            rows.append([title, *[""] * len(head)])
        rows.append(
            [
                comparison.baseline,
                f"{group.baseline:.1f}",
                *[""] * (len(head) - 2),
                f"{group.baseline_megapixels:.2f}",
            ]
        )
        rows += [_row(effect, with_p=with_p, corrected=corrected) for effect in group.effects]
    return Table(
        [*head, "MP"],
        rows,
        list(_records(comparison)),
        [_title(comparison), *comparison.notes],
        _content(comparison),
    )


def _row(effect: Effect, *, with_p: bool, corrected: bool) -> list[str]:
    return [
        effect.label,
        f"{effect.score:.1f}",
        f"{effect.difference:+.1f}",
        f"{effect.interval.low:+.1f} {effect.interval.high:+.1f}",
        f"{effect.won}/{effect.lost}",
        *([_p(effect.p)] if with_p else []),
        *([_p(effect.p_holm)] if corrected else []),
        f"{effect.megapixels:.2f}",
    ]


def _title(comparison: Comparison) -> str:
    everything = comparison.groups[0]
    same = comparison.same
    return (
        f"{same.get('dataset') or 'dataset'}, {same.get('metric')}, {same.get('model')}: "
        f"n = {everything.samples} samples of {everything.pictures} pictures; paired differences "
        f"from {comparison.baseline} in points, bootstrap by picture; MP: megapixels sent"
    )


def _records(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for group in comparison.groups:
        yield _record(group, comparison.baseline, group.baseline, group.baseline_megapixels, None)
        for effect in group.effects:
            yield _record(group, effect.label, effect.score, effect.megapixels, effect)


def _record(
    group: Group, label: str, score: float, megapixels: float, effect: Effect | None
) -> dict[str, Any]:
    return {
        "group": group.name,
        "setting": label,
        "n": group.samples,
        "pictures": group.pictures,
        "score": score,
        "difference": effect and effect.difference,
        "low": effect and effect.interval.low,
        "high": effect and effect.interval.high,
        "won": effect and effect.won,
        "lost": effect and effect.lost,
        "p": effect and effect.p,
        "p_holm": effect and effect.p_holm,
        "megapixels": megapixels,
    }


def _content(comparison: Comparison) -> dict[str, Any]:
    return {
        "baseline": comparison.baseline,
        "chosen": comparison.chosen or None,
        "same": comparison.same,
        "rows": list(_records(comparison)),
        "notes": comparison.notes,
    }


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
