"""The belt's second stage: batches through the model, on the calling thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Lock

import numpy as np
from PIL import Image

from api_cli.errors import ModelError
from api_cli.relevance import Relevance, RelevanceModel
from api_cli.runs.batch_size import BatchSize, FixedSize, GrowingSize
from api_cli.runs.blame import Failure
from api_cli.runs.finishing import Finishing
from api_cli.runs.jobs import Loaded, layers_of
from api_cli.runs.map_store import Maps

_FIRST_AUTO_BATCH_SIZE = 8  # until the model is there and says what it would like


class LazyModel:
    """The auxiliary model, loaded by whichever thread first needs it.

    Args:
        load: loads it.
        batch_size: samples that go through it together at most; "auto" for as many as do best.

    Attributes:
        batches: learns what size of batches does.
    """

    def __init__(self, load: Callable[[], RelevanceModel], batch_size: int | str) -> None:
        self._load = load
        self._auto = not isinstance(batch_size, int)
        self.batches: BatchSize = (
            FixedSize(batch_size)
            if isinstance(batch_size, int)
            else GrowingSize(_FIRST_AUTO_BATCH_SIZE)
        )
        self._model: RelevanceModel | None = None
        self._loading = Lock()

    def get(self) -> RelevanceModel:
        """The model itself. Raises ApipromptError where it cannot be loaded."""
        with self._loading:
            if self._model is None:
                self._model = self._load()
                if self._auto:
                    self.batches = GrowingSize(self._model.default_batch_size)
            return self._model

    @property
    def batch_size(self) -> int:
        """Samples that go through it together, as things stand."""
        return self.batches.size


class Computing:
    """Finds what the model has to say, or what is kept of it, about loaded samples.

    Args:
        model: the auxiliary model; it is told what became of each batch.
        store: where maps are kept, if anywhere.
        finishing: takes the samples that the model fails on.
    """

    def __init__(self, model: LazyModel, store: Maps | None, finishing: Finishing) -> None:
        self._model = model
        self._store = store
        self._streak = finishing.streak("relevance", self._what_is_wrong)
        self._finishing = finishing
        self._layers: Sequence[int] = ()

    def batches(self, loaded: Iterator[Loaded]) -> Iterator[list[Loaded]]:
        """Batches for the model; a sample whose maps are kept is a batch of its own."""
        batch: list[Loaded] = []
        for item in loaded:
            if item.prepared is None:
                yield [item]
                continue
            batch.append(item)
            if len(batch) >= self._model.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def relevance(self, batch: Sequence[Loaded]) -> Iterator[tuple[Loaded, Relevance]]:
        """What the model found out about each sample in its layers: kept, or computed and kept."""
        if batch[0].kept is not None:  # a batch of its own
            yield batch[0], batch[0].kept
            return
        start = time.perf_counter()
        layers = layers_of(variant for loaded in batch for variant in loaded.job.variants)
        self._layers = layers
        computed = self._compute(batch, layers)
        self._finishing.report.seconds_model += time.perf_counter() - start
        if self._store is not None:
            self._store.put(
                (loaded.subject.sha256, loaded.subject.query, layers, found)
                for loaded, found in computed
                if np.isfinite(found.maps).all()
            )
        for loaded, found in computed:
            wanted = [layers.index(layer) for layer in layers_of(loaded.job.variants)]
            yield loaded, found._replace(maps=found.maps[wanted])

    def _compute(
        self, batch: Sequence[Loaded], layers: Sequence[int]
    ) -> list[tuple[Loaded, Relevance]]:
        """The model's work on a batch; where it fails, on halves, down to the sample to blame."""
        model = self._model.get()
        start = time.perf_counter()
        try:
            found = model.relevance(
                [loaded.prepared for loaded in batch if loaded.prepared is not None],
                [loaded.subject.query for loaded in batch],
                layers,
            )
            self._streak.settle()
            self._model.batches.fitted(len(batch), time.perf_counter() - start)
            return list(zip(batch, found, strict=True))
        except Exception as error:  # whatever a model raises ends the sample, not the run
            if _is_out_of_memory(error):
                if len(batch) == 1:
                    raise ModelError(
                        "out of memory at batch size 1; use a smaller model, --precision bf16 or "
                        "another --device"
                    ) from error
                self._model.batches.did_not_fit(len(batch))
            elif len(batch) == 1:
                self._streak.fail(batch[0].job, error)
                return []
        _free_cached_memory()  # here, where the handler no longer holds the batch's tensors
        half = (len(batch) + 1) // 2
        return self._compute(batch[:half], layers) + self._compute(batch[half:], layers)

    def _what_is_wrong(self, failures: Sequence[Failure]) -> str | None:
        """What the model says to a grey square and a short question, if not even that will do."""
        model = self._model.get()
        try:
            square = model.prepare(Image.new("RGB", (64, 64), "grey"))
            model.relevance([square], ["What is it?"], self._layers)
        except Exception as error:
            return f"the model fails whatever it is asked: {type(error).__name__}: {error}"
        return None


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # not imported where all maps are kept
    on_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return on_gpu or on_cpu or isinstance(error, MemoryError)


def _free_cached_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
