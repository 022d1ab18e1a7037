"""One profile, from its configuration to figures: `apiprompt profile`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from api_cli.console import Console
from api_cli.errors import ApipromptError, UsageError
from api_cli.masking import MaskSettings
from api_cli.options.launch import Launch
from api_cli.options.location import Url
from api_cli.options.profile import ProfileClipConfig, ProfileLlavaConfig
from api_cli.profiling.boxes import find_column, read_boxes
from api_cli.profiling.choosing import Figure, best_first, choose, figures
from api_cli.profiling.measuring import Measured, Measuring
from api_cli.profiling.plot import require_plot
from api_cli.relevance import Read
from api_cli.relevance.layers import resolve_layers
from api_cli.runs.assembly import Assembly, assemble
from api_cli.runs.jobs import Job, Variant
from api_cli.runs.ledger import Row
from api_cli.scoring.comparison import is_first_half
from datasets_manager import Sample, get_dataset

AnyProfileConfig = ProfileClipConfig | ProfileLlavaConfig


class Line(NamedTuple):
    """One map on the half that is reported.

    Attributes:
        layers: whose mean it is, from 0; one, unless it is a mean.
        head: of the layer, that alone; None for the mean of all.
        map: its name: one of the method's, or the mask that is made of them.
        role: `layer`, `mean` (one that was asked for), `head`, `all` (of all layers) or `best` (of
            the best few, or the best alone).
        chosen_on: its mean AUROC on the half that is chosen on.
        auroc: on the other half, as the following.
        pointing: of the brightest cell.
        mass: in the boxes.
    """

    layers: tuple[int, ...]
    head: int | None
    map: str
    role: str
    chosen_on: float
    auroc: Figure
    pointing: Figure
    mass: Figure


class Profile(NamedTuple):
    """What was found out.

    Attributes:
        title: dataset and model.
        lines: each layer's maps in order, then means that were asked for, heads, the mean of all
            layers, and that of the best few.
        ranked_by: the map that layers rank by.
        best: layers of the mean that was chosen, ascending.
        chosen_on: samples of the half that it was chosen on.
        reported_on: samples of the other.
        pictures: that those of the other are about.
        inside: mean share of the picture that the boxes cover there: pointing and mass by chance.
        failures: rows of samples that failed.
    """

    title: str
    lines: list[Line]
    ranked_by: str
    best: tuple[int, ...]
    chosen_on: int
    reported_on: int
    pictures: int
    inside: float
    failures: list[Row]


class _Asked(NamedTuple):
    """What is scored.

    Attributes:
        single: reads of the layers by themselves, in order.
        rows: all that is scored, by role and reads; the single ones first.
    """

    single: list[Read]
    rows: list[tuple[str, tuple[Read, ...]]]


def profile(config: AnyProfileConfig, console: Console) -> Profile:
    """Hold the maps of every layer against boxes.

    Raises:
        ApipromptError, DatasetError, OSError: with a message for the user.
    """
    if Launch.read().world_size > 1:
        raise UsageError("profile runs in one process: start it without a launcher")
    if isinstance(config.output_folder, Url):
        raise UsageError(
            f"--output-folder {config.output_folder}: a profile keeps its maps on a disk; name a "
            "folder"
        )
    if config.plot is not None:
        require_plot(config.plot)
    dataset = get_dataset(config.dataset, config.data_root, config.dataset_options)
    for note in dataset.notes:
        console.say(note)
    samples = list(dataset[slice(*config.range) if config.range else slice(None)])
    if not samples:
        raise ApipromptError(f"no samples in that range: {dataset.name} has {len(dataset)}")
    column, samples, boxes = _with_boxes(config, samples)
    assembly = assemble(config, console, Launch())
    asked = _asked(config, assembly)
    method = assembly.auxiliary.method
    rows = [reads for _, reads in asked.rows]
    measuring = Measuring(method, rows, asked.single, boxes, config.box_units, column)
    reads = tuple(dict.fromkeys(read for row in rows for read in row))
    variants = (Variant(reads, MaskSettings(), measuring),)
    try:
        with console.progress(len(samples), "profiling") as advance:
            store = assembly.store(console.warn)
            belt = assembly.belt(advance, store=store, render=measuring.render)
            belt.run(Job(sample, variants) for sample in samples)
        keys = [sample.key for sample in samples if sample.key in measuring.measured]
        return _summarise(config, measuring, asked, keys)._replace(
            title=f"{dataset.name}, {method.name} {assembly.card.short_name}"
        )
    finally:
        measuring.forget()


def _with_boxes(
    config: AnyProfileConfig, samples: Sequence[Sample]
) -> tuple[str, list[Sample], dict[str, NDArray[np.float64]]]:
    """The column, the samples, those without boxes at fault, and the boxes by key.

    Raises:
        ApipromptError: where no sample has any.
    """
    try:
        column = find_column(config.box_column, map(_known, samples))
    except ValueError as error:
        raise ApipromptError(f"{config.dataset}: {error}") from None
    kept, boxes, first = [], {}, ""
    for sample in samples:
        fault = sample.fault
        if fault is None:
            try:
                boxes[sample.key] = read_boxes(sample.extra.get(column), config.box_format, column)
            except Exception as error:  # also what a lazily read row raises
                fault = f"{error}"
                first = first or f"{sample.key}: {fault}"
        kept.append(replace(sample, fault=fault))
    if not boxes:
        raise ApipromptError(f"no sample of {config.dataset} has boxes to profile on; {first}")
    return column, kept, boxes


def _known(sample: Sample) -> Mapping[str, Any]:
    """What the dataset knows of a sample; nothing where that cannot be read."""
    try:
        return dict(sample.extra)
    except Exception:  # a row that is read when it is asked for
        return {}


def _asked(config: AnyProfileConfig, assembly: Assembly) -> _Asked:
    """Layers asked for, or all that can be read; means of some that were asked for; heads."""
    for name in ("softmax", "token_weights"):
        if len(getattr(config, name)) > 1:
            raise UsageError(
                f"--{name.replace('_', '-')}: a profile is of one value; make one of each"
            )
    if config.layer_index is not None:
        groups = resolve_layers(config.layer_index, assembly.card)
    else:
        groups = [(layer,) for layer in assembly.card.readable_layers]
    layers = sorted({layer for group in groups for layer in group})
    single = [Read(layer, config.softmax[0], config.token_weights[0]) for layer in layers]
    by_layer = {read.layer: read for read in single}
    rows: list[tuple[str, tuple[Read, ...]]] = [("layer", (read,)) for read in single]
    rows += [("mean", tuple(by_layer[n] for n in group)) for group in groups if len(group) > 1]
    if isinstance(config, ProfileLlavaConfig) and config.heads:
        number: int = assembly.auxiliary.find().number_of_heads  # type: ignore[attr-defined]
        rows += [("head", (read._replace(head=h),)) for read in single for h in range(number)]
    return _Asked(single, [*rows, ("all", tuple(single))])


def _summarise(
    config: AnyProfileConfig, measuring: Measuring, asked: _Asked, keys: Sequence[str]
) -> Profile:
    """Choose on one half of the pictures, report on the other."""
    measured = [measuring.measured[key] for key in keys]
    choosing = [one for one in measured if is_first_half(one.picture)]
    reporting = [one for one in measured if not is_first_half(one.picture)]
    if not choosing or not reporting:
        failed = [f"; the first that failed: {row['key']}: {row['error']}"
                  for row in measuring.failures[:1]]  # fmt: skip
        raise ApipromptError(
            f"{len(measured)} samples could be scored, {len(choosing)} of the half that layers are "
            f"chosen on and {len(reporting)} of the other: more are needed, of several pictures"
            + "".join(failed)
        )
    ranked = np.array([one.scores[: len(asked.single), -1, 0] for one in choosing])  # (N, L)

    def aurocs_of_mean(places: Sequence[int]) -> NDArray[np.float64]:
        if len(places) == 1:
            return ranked[:, places[0]]
        return np.array([measuring.mean_scores(one, places)[-1, 0] for one in choosing])

    best = choose(best_first(ranked), config.best, aurocs_of_mean)

    def with_best(half: Sequence[Measured]) -> NDArray[np.float64]:
        """(N, R + 1, M, 3)."""
        of_best = [measuring.mean_scores(one, best)[None] for one in half]
        return np.array(
            [np.concatenate([one.scores, mean]) for one, mean in zip(half, of_best, strict=True)]
        )

    chosen_on = with_best(choosing).mean(axis=0)
    scores = with_best(reporting)
    pictures = [one.picture for one in reporting]
    flat = figures(
        scores.reshape(len(scores), -1), pictures, resamples=config.resamples, seed=config.seed
    )
    names = measuring.names
    rows = [*asked.rows, ("best", tuple(asked.single[place] for place in best))]
    lines = [
        Line(
            tuple(read.layer for read in reads),
            reads[0].head,
            name,
            role,
            float(chosen_on[place, m, 0]),
            *flat[(place * len(names) + m) * 3 :][:3],
        )
        for place, (role, reads) in enumerate(rows)
        for m, name in enumerate(names)
    ]
    return Profile(
        "",
        lines,
        names[-1],
        lines[-1].layers,
        len(choosing),
        len(reporting),
        len(set(pictures)),
        float(np.mean([one.cells.inside.sum() for one in reporting])),
        measuring.failures,
    )
