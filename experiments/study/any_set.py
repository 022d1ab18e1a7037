"""The same on any set and any model: mask, ask, score, compare, as five commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NamedTuple

from api_cli.options.option import shipped_configs

CONTROL = ("--shuffle-masks", "0")


class AnySet(NamedTuple):
    """What is asked about, and who answers.

    Attributes:
        dataset: a name of `apiprompt datasets`; one of a shipped configuration is masked by it.
        work: folder of runs and answers, of this set alone.
        model: who answers, as the server knows it.
        base_url: of its server; None for a model in this process.
        judge_model: scores sets whose rule is a judge; needs its URL.
        judge_base_url: of its server.
        data_root: where the set is.
        mask: further flags of `apiprompt clip`; with those that sweep, the best is chosen on one
            half of the pictures and reported on the other.
        ask: further flags of `apiprompt ask`.
    """

    dataset: str
    work: Path
    model: str
    base_url: str | None = None
    judge_model: str | None = None
    judge_base_url: str | None = None
    data_root: Path | None = None
    mask: str = ""
    ask: str = ""


def commands(wanted: AnySet) -> list[tuple[str, ...]]:
    """Words after `apiprompt`: masks, other samples' masks, answers, scores, the comparison."""
    work, mask = str(wanted.work), shlex.split(wanted.mask)
    configs = {_folded(path.stem): path.stem for path in shipped_configs()}
    known = configs.get(_folded(wanted.dataset))
    set_ = ("--config", known) if known else ("--dataset", wanted.dataset)
    root = ("--data-root", str(wanted.data_root)) if wanted.data_root else ()
    clip = ("clip", *set_, *root, "--output-folder", work, *mask)
    who = ("--base-url", wanted.base_url) if wanted.base_url else ("--backend", "hf")
    judge: tuple[str, ...] = ()
    if wanted.judge_base_url and wanted.judge_model:
        judge = ("--judge-base-url", wanted.judge_base_url, "--judge-model", wanted.judge_model)
    half = ("--select-on", "half") if any("," in word for word in mask) else ()
    of_model = ("--model", wanted.model)
    return [
        clip,
        (*clip, *CONTROL),
        ("ask", work, "--plain", *of_model, *who, *shlex.split(wanted.ask)),
        ("score", work, *of_model, *judge),
        ("compare", work, *of_model, "--by", "category", *half, "--table", "md"),
    ]


def _folded(name: str) -> str:
    """A name without case and separators: `LLaVA_Wild` is configured in `llava_wild`."""
    return "".join(c for c in name.lower() if c.isalnum())
