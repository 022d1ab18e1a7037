"""The belt's second stage: batches through the model, on the calling thread."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np
from PIL import Image

from api_cli.errors import ModelError
from api_cli.masking import Array
from api_cli.options.prompt import GENERAL_QUESTION
from api_cli.relevance import Read, Relevance, RelevanceModel
from api_cli.runs.batch_size import BatchSize, FixedSize, GrowingSize
from api_cli.runs.blame import Failure
from api_cli.runs.finishing import Finishing
from api_cli.runs.generals import Generals
from api_cli.runs.jobs import Found, Loaded, reads_of
from api_cli.runs.map_store import MapStore

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


class _Answer(NamedTuple):
    """What the model found out about a sample: under its question, or under the general one."""

    loaded: Loaded
    query: str
    asked: Sequence[Read]
    is_general: bool
    found: Relevance

    @property
    def reads(self) -> list[Read]:
        return [read.of_prompt for read in self.asked] if self.is_general else list(self.asked)

    @property
    def maps(self) -> dict[Read, Array]:
        return dict(zip(self.reads, self.found.maps, strict=True))


class Computing:
    """Finds what the model has to say, or what is kept of it, about loaded samples.

    Args:
        model: the auxiliary model; it is told what became of each batch.
        store: where maps are kept, if anywhere.
        finishing: takes the samples that the model fails on.
        general: the question that relative maps are relative to.
    """

    def __init__(
        self,
        model: LazyModel,
        store: MapStore | None,
        finishing: Finishing,
        general: str = GENERAL_QUESTION,
    ) -> None:
        self._model = model
        self._store = store
        self._streak = finishing.streak("relevance", self._what_is_wrong)
        self._finishing = finishing
        self._general = general
        self._generals = Generals()
        self._reads: Sequence[Read] = ()

    def batches(self, loaded: Iterator[Loaded]) -> Iterator[list[Loaded]]:
        """Batches for the model; a sample whose maps are kept is a batch of its own."""
        batch: list[Loaded] = []
        for item in loaded:
            if item.prepared is None:  # all is kept
                yield [item]
                continue
            batch.append(item)
            if len(batch) >= self._model.batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def relevance(self, batch: Sequence[Loaded]) -> Iterator[tuple[Loaded, Found]]:
        """What the model found out about each sample: kept, or computed and kept."""
        [first, *_] = batch
        if first.kept is not None and first.general is not None:  # a batch of its own
            yield first, Found({**first.kept.maps, **first.general}, first.kept.facts)
            return
        start = time.perf_counter()
        self._reads = reads_of(variant for loaded in batch for variant in loaded.job.variants)
        answers = self._compute(batch)
        self._finishing.report.seconds_model += time.perf_counter() - start
        if self._store is not None:
            self._store.put(
                (answer.loaded.subject.sha256, answer.query, answer.reads, answer.found)
                for answer in answers
                if np.isfinite(answer.found.maps).all()
            )
        self._generals.note(
            {answer.loaded.subject.sha256: answer.maps for answer in answers if answer.is_general}
        )
        own = {
            id(answer.loaded): Found(answer.maps, answer.found.facts)
            for answer in answers
            if not answer.is_general
        }
        for loaded in batch:
            found, general = own.get(id(loaded), loaded.kept), self._generals.of(loaded)
            if found is not None and general is not None:  # else it failed
                yield loaded, Found({**found.maps, **general}, found.facts)

    def _compute(self, batch: Sequence[Loaded]) -> list[_Answer]:
        """The model's work on a batch; where it fails, on halves, down to the sample to blame."""
        model = self._model.get()
        start = time.perf_counter()
        try:
            answers = self._ask(model, batch)
            self._streak.settle()
            self._model.batches.fitted(len(batch), time.perf_counter() - start)
            return answers
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
        return self._compute(batch[:half]) + self._compute(batch[half:])

    def _ask(self, model: RelevanceModel, batch: Sequence[Loaded]) -> list[_Answer]:
        """Ask what is not known: each sample's question, and the general one once a picture."""
        own = [loaded for loaded in batch if loaded.kept is None]
        pictures = {
            loaded.subject.sha256: loaded for loaded in batch if self._generals.of(loaded) is None
        }
        rows = [*own, *pictures.values()]
        if not rows:
            return []
        queries = [loaded.subject.query for loaded in own] + [self._general] * len(pictures)
        found = model.relevance(
            [loaded.prepared for loaded in rows if loaded.prepared is not None],
            queries,
            self._reads,
            *([range(len(own), len(rows))] if pictures else []),
        )
        return [
            _Answer(loaded, query, self._reads, number >= len(own), one)
            for number, (loaded, query, one) in enumerate(zip(rows, queries, found, strict=True))
        ]

    def _what_is_wrong(self, failures: Sequence[Failure]) -> str | None:
        """What the model says to a grey square and a short question, if not even that will do."""
        model = self._model.get()
        try:
            square = model.prepare(Image.new("RGB", (64, 64), "grey"))
            model.relevance([square], ["What is it?"], self._reads)
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
