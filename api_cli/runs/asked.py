"""What a run was asked for, once its model is known: what runs into folders and shards share."""

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
from api_cli.relevance.fit import grid_part
from api_cli.relevance.layers import resolve_layers
from api_cli.runs import model_card
from api_cli.runs.belt import Belt
from api_cli.runs.jobs import Report
from api_cli.runs.map_store import FOLDER, Maps
from api_cli.runs.model_card import ModelCard
from api_cli.runs.names import digest_text, portable_name
from api_cli.runs.settings import Setting, list_settings
from api_cli.runs.shuffling import Shuffle


class Asked(NamedTuple):
    """A configuration and its model.

    Attributes:
        config: what was asked for.
        auxiliary: the model, not yet loaded.
        card: what has to be known of it before.
    """

    config: RunConfig
    auxiliary: Auxiliary
    card: ModelCard

    @property
    def precision(self) -> str:
        """Of the forward pass."""
        return self.card.precision if self.config.precision == "auto" else self.config.precision

    @property
    def identity(self) -> dict[str, Any]:
        """What determines maps, beside pictures, questions and what the model was told."""
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
        said = self.auxiliary.asked
        text = json.dumps(said, sort_keys=True) if said else ""
        words = [*self.identity.values(), *([digest_text(text)] if text else [])]
        return portable_name("_".join(words))

    def determining(self, dataset_name: str) -> dict[str, Any]:
        """What determines all settings' pictures."""
        return {"dataset": dataset_name, **self.identity, **self.auxiliary.asked}

    def settings(self, dataset_name: str) -> list[Setting]:
        """Every combination of the values asked for."""
        prefix = self.auxiliary.method.folder_prefix
        name = f"{prefix}_{portable_name(dataset_name)}_{self.card.short_name}"
        return list_settings(self.config, name, resolve_layers(self.config.layer_index, self.card))

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
            if (folder := _cards(self.config)) is not None:
                with suppress(OSError):
                    model_card.forget(folder, self.auxiliary.words)
            raise ModelError(
                f"the weights of {self.auxiliary.words[1]} have changed since they were last "
                f"looked at, from {self.card.weights} to {digest.result()}; nothing was made with "
                "them: run the same command again"
            )
        return model

    def belt(
        self,
        progress: Callable[[Report], None],
        *,
        store: Maps | None = None,
        shuffle: Shuffle | None = None,
    ) -> Belt:
        """A belt that does what was asked for; its model is loaded when it is first needed."""
        config = self.config
        return Belt(
            self.auxiliary.method,
            self.load,
            partial(grid_part, config.fit, grid=self.card.grid),
            store=store,
            shuffle=shuffle,
            general=config.relative_to,
            save_maps=config.save_maps,
            image_format=config.format,
            quality=config.quality,
            batch_size=config.batch_size,
            num_workers=default_num_workers(config.num_workers),
            progress=progress,
        )


def find_asked(
    config: RunConfig, console: Console, launch: Launch, *, apart: bool = False
) -> Asked:
    """Find the model that a configuration asks for, without loading it.

    Args:
        config: what was asked for.
        console: for messages.
        launch: which of several processes this is.
        apart: whether to look for it in a process that ends with that, since what it takes to find
            a model (torch, open_clip) stays in memory, and is of no use to who loads none.
    """
    auxiliary = auxiliary_of(config, console, launch)
    return Asked(config, auxiliary, _find_card(config, auxiliary, console, apart=apart))


def _cards(config: RunConfig) -> Path | None:
    """Where cards of models are kept; None where the output is not of this machine."""
    folder = config.output_folder
    return folder / FOLDER if config.map_store and isinstance(folder, Path) else None


def _find_card(
    config: RunConfig, auxiliary: Auxiliary, console: Console, *, apart: bool
) -> ModelCard:
    """The card of the model asked for: remembered, or read off its checkpoint."""
    folder = _cards(config)
    if folder is not None:
        card = model_card.recall(folder, auxiliary.words)
        if card is not None:
            return card
    console.say(f"looking for {auxiliary.words[1]}")
    if apart:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            looked = pool.submit(_look_apart, config).result()
    else:
        looked = _look(config, auxiliary)
    if folder is not None and not config.dry_run:
        try:
            model_card.remember(folder, auxiliary.words, *looked)
        except OSError as error:
            console.warn(f"what was found out of the model cannot be kept ({explain(error)})")
    return looked.card


class _Looked(NamedTuple):
    """A model's card, and the files of its weights; none of those before they are asked for."""

    card: ModelCard
    weights_files: Sequence[Path]


def _look_apart(config: RunConfig) -> _Looked:
    return _look(config, auxiliary_of(config, Console(quiet=True), Launch()))


def _look(config: RunConfig, auxiliary: Auxiliary) -> _Looked:
    checkpoint = auxiliary.find()
    card = ModelCard(
        checkpoint.short_name,
        "",
        checkpoint.number_of_layers,
        checkpoint.grid,
        checkpoint.default_layer,
        checkpoint.precision,
    )
    resolve_layers(config.layer_index, card)  # before any download
    if config.dry_run:
        return _Looked(card, ())
    card = card._replace(weights=checkpoint.identity)
    return _Looked(card, checkpoint.weights_files)
