"""From a configuration to what does the work: the model's card, kept maps, the belt."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from api_cli.console import Console
from api_cli.errors import ModelError, explain
from api_cli.options.launch import default_num_workers
from api_cli.options.run import RunConfig
from api_cli.relevance import Auxiliary, RelevanceModel
from api_cli.relevance.fit import grid_part
from api_cli.relevance.layers import resolve_layers
from api_cli.runs import model_card
from api_cli.runs.belt import Belt
from api_cli.runs.jobs import Report
from api_cli.runs.map_store import FOLDER, MapStore
from api_cli.runs.model_card import ModelCard
from api_cli.runs.names import digest_text, portable_name
from api_cli.runs.shuffling import Shuffle


class Assembly(NamedTuple):
    """A model that was found for a configuration, not yet loaded.

    Attributes:
        config: what was asked for.
        auxiliary: the model.
        card: what is known of it.
        console: for messages.
    """

    config: RunConfig
    auxiliary: Auxiliary
    card: ModelCard
    console: Console

    @property
    def precision(self) -> str:
        """Of the forward pass."""
        precision = self.config.precision
        return self.card.precision if precision == "auto" else precision

    @property
    def identity(self) -> dict[str, Any]:
        """What determines maps beside picture, question, layer, and what the model is asked."""
        return {
            "method": self.auxiliary.method.name,
            "model_name": self.card.short_name,
            "weights": self.card.weights,
            "fit": self.config.fit,
            "precision": self.precision,
        }

    def belt(self, progress: Callable[[Report], None], shuffle: Shuffle | None = None) -> Belt:
        """The belt that carries samples through the model; see `Belt`."""
        config, card = self.config, self.card
        return Belt(
            self.auxiliary.method,
            partial(_load, self.auxiliary, self.precision, card, config.output_folder / FOLDER),
            partial(grid_part, config.fit, grid=card.grid),
            store=self._store() if config.map_store else None,
            shuffle=shuffle,
            general=config.relative_to,
            save_maps=config.save_maps,
            image_format=config.format,
            quality=config.quality,
            batch_size=config.batch_size,
            num_workers=default_num_workers(config.num_workers),
            progress=progress,
        )

    def _store(self) -> MapStore:
        asked: Mapping[str, Any] = self.auxiliary.asked
        words = [*self.identity.values()]
        if asked:
            words.append(digest_text(json.dumps(asked, sort_keys=True)))
        folder = self.config.output_folder / FOLDER / portable_name("_".join(words))
        return MapStore(folder, {**self.identity, **asked}, self.console.warn)


def find_card(config: RunConfig, auxiliary: Auxiliary, console: Console) -> ModelCard:
    """The card of the model asked for: remembered, or read off its checkpoint."""
    folder = config.output_folder / FOLDER
    if config.map_store:
        card = model_card.recall(folder, auxiliary.words)
        if card is not None:
            return card
    console.say(f"looking for {auxiliary.words[1]}")
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
        return card
    card = card._replace(weights=checkpoint.identity)
    if config.map_store:
        try:
            model_card.remember(folder, auxiliary.words, card, checkpoint.weights_files)
        except OSError as error:
            console.warn(f"what was found out of the model cannot be kept ({explain(error)})")
    return card


def _load(auxiliary: Auxiliary, precision: str, card: ModelCard, folder: Path) -> RelevanceModel:
    """The auxiliary model, if its weights are still those of its card.

    Where this process has read the weights for the card, their digest is there already; else it
    is taken while they are loaded.

    Raises:
        ModelError: where the weights have changed under the same name.
    """
    checkpoint = auxiliary.find()
    with ThreadPoolExecutor(1) as pool:
        digest = pool.submit(lambda: checkpoint.identity)
        model = auxiliary.load(precision)
    if digest.result() != card.weights:
        with suppress(OSError):
            model_card.forget(folder, auxiliary.words)
        raise ModelError(
            f"the weights of {auxiliary.words[1]} have changed since they were last looked at, "
            f"from {card.weights} to {digest.result()}; nothing was made with them: run the same "
            "command again"
        )
    return model
