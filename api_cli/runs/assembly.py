"""From a configuration to what does the work: the model's card, kept maps, settings, the belt.

Run folders, shards, single pictures and profiles are all put together here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.console import Console
from api_cli.errors import ModelError, explain
from api_cli.options.launch import Launch, default_num_workers
from api_cli.options.run import RunConfig
from api_cli.relevance import Auxiliary, RelevanceModel
from api_cli.relevance.auxiliaries import auxiliary_of
from api_cli.relevance.fit import grid_part, is_displaced
from api_cli.relevance.layers import readable_layers, resolve_layers
from api_cli.runs import model_card
from api_cli.runs.belt import Belt
from api_cli.runs.jobs import Found, Loaded, Report, Written
from api_cli.runs.map_store import FOLDER, Maps, MapStore
from api_cli.runs.model_card import ModelCard
from api_cli.runs.names import digest_text, portable_name
from api_cli.runs.settings import Setting, list_settings
from api_cli.runs.shuffling import Shuffle


class Assembly(NamedTuple):
    """A model that was found for a configuration, not yet loaded.

    Attributes:
        config: what was asked for.
        auxiliary: the model.
        card: what is known of it.
    """

    config: RunConfig
    auxiliary: Auxiliary
    card: ModelCard

    @property
    def precision(self) -> str:
        """Of the forward pass."""
        precision = self.config.precision
        return self.card.precision if precision == "auto" else precision

    @property
    def identity(self) -> dict[str, Any]:
        """What determines maps beside picture, question and read."""
        return {**self._own_identity, **self.auxiliary.asked}

    @property
    def _own_identity(self) -> dict[str, Any]:
        """What determines maps, but for what the model is asked beside the question."""
        return {
            "method": self.auxiliary.method.name,
            "model_name": self.card.short_name,
            "weights": self.card.weights,
            "fit": self.config.fit,
            "precision": self.precision,
        }

    @property
    def maps_folder(self) -> str:
        """The name of the folder of kept maps of this model in these settings."""
        words = [*self._own_identity.values()]
        if self.auxiliary.asked:
            words.append(digest_text(json.dumps(self.auxiliary.asked, sort_keys=True)))
        return portable_name("_".join(words))

    def determining(self, dataset_name: str) -> dict[str, Any]:
        """What determines the pictures of all settings."""
        return {"dataset": dataset_name, **self.identity}

    def settings(self, dataset_name: str) -> list[Setting]:
        """Every combination of the values asked for, with the folder of each."""
        prefix = self.auxiliary.method.folder_prefix
        name = f"{prefix}_{portable_name(dataset_name)}_{self.card.short_name}"
        return list_settings(self.config, name, resolve_layers(self.config.layer_index, self.card))

    def store(self, warn: Callable[[str], None]) -> MapStore | None:
        """The maps that are kept beside run folders; None where none are to be.

        Args:
            warn: told of damage, and where nothing can be kept.
        """
        kept = _kept(self.config)
        return None if kept is None else MapStore(kept / self.maps_folder, self.identity, warn)

    def belt(
        self,
        progress: Callable[[Report], None],
        *,
        store: Maps | None,
        shuffle: Shuffle | None = None,
        render: Callable[[Loaded, Found], list[Written]] | None = None,
    ) -> Belt:
        """The belt that carries samples through the model; see `Belt`."""
        config, card = self.config, self.card
        return Belt(
            self.auxiliary.method,
            self.load,
            partial(grid_part, config.fit, grid=card.grid),
            store=store,
            shuffle=shuffle,
            general=config.relative_to,
            displaces=partial(is_displaced, config.fit, grid=card.grid),
            render=render,
            save_maps=config.save_maps,
            image_format=config.format,
            quality=config.quality,
            batch_size=config.batch_size,
            num_workers=default_num_workers(config.num_workers),
            progress=progress,
        )

    def load(self) -> RelevanceModel:
        """The auxiliary model, if its weights are still those of its card.

        Where this process has read the weights for the card, their digest is there already; else it
        is taken while they are loaded.

        Raises:
            ModelError: where the weights have changed under the same name.
        """
        checkpoint = self.auxiliary.find()
        with ThreadPoolExecutor(1) as pool:
            digest = pool.submit(lambda: checkpoint.identity)
            model = self.auxiliary.load(self.precision)
        if digest.result() != self.card.weights:
            if (kept := _kept(self.config)) is not None:
                with suppress(OSError):
                    model_card.forget(kept, self.auxiliary.words)
            raise ModelError(
                f"the weights of {self.auxiliary.words[1]} have changed since they were last "
                f"looked at, from {self.card.weights} to {digest.result()}; nothing was made with "
                "them: run the same command again"
            )
        return model


def assemble(
    config: RunConfig, console: Console, launch: Launch, *, apart: bool = False
) -> Assembly:
    """Find the model that a configuration asks for, without loading it.

    Args:
        config: what was asked for.
        console: for messages.
        launch: which of several processes this is.
        apart: whether to look for it in a process that ends with that, since what it takes to find
            a model (torch, open_clip) stays in memory, and is of no use to who loads none.

    Raises:
        ApipromptError: where there is no such model, or no such layer in it.
    """
    auxiliary = auxiliary_of(config, console, launch)
    kept = _kept(config)
    if kept is not None:
        card = model_card.recall(kept, auxiliary.words)
        if card is not None:
            return Assembly(config, auxiliary, card)
    console.say(f"looking for {auxiliary.words[1]}")
    if apart:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            looked = pool.submit(_look_apart, config).result()
    else:
        looked = _look(config, auxiliary)
    if kept is not None and not config.dry_run:
        try:
            model_card.remember(kept, auxiliary.words, *looked)
        except OSError as error:
            console.warn(f"what was found out of the model cannot be kept ({explain(error)})")
    return Assembly(config, auxiliary, looked.card)


def _kept(config: RunConfig) -> Path | None:
    """Where cards and maps are kept; None where none are, or the output is not on a disk."""
    folder = config.output_folder
    return folder / FOLDER if config.map_store and isinstance(folder, Path) else None


class _Looked(NamedTuple):
    """A model's card, and the files of its weights; none of those in a dry run."""

    card: ModelCard
    weights_files: Sequence[Path]


def _look_apart(config: RunConfig) -> _Looked:
    return _look(config, auxiliary_of(config, Console(quiet=True), Launch()))


def _look(config: RunConfig, auxiliary: Auxiliary) -> _Looked:
    """Read a model's card off its checkpoint."""
    checkpoint = auxiliary.find()
    card = ModelCard(
        checkpoint.short_name,
        "",
        checkpoint.number_of_layers,
        checkpoint.grid,
        checkpoint.default_layer,
        checkpoint.precision,
        tuple(readable_layers(checkpoint)),
    )
    resolve_layers(config.layer_index, card)  # before any download
    if config.dry_run:
        return _Looked(card, ())
    card = card._replace(weights=checkpoint.identity)
    return _Looked(card, checkpoint.weights_files)
