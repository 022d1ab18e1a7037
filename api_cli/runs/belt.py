"""The moving belt: read ahead -> relevance -> render -> finish, each while the others work.

Threads read and preprocess pictures ahead of the model, which runs on the calling thread; threads
blend, encode and write behind it. Queues are bounded, so memory does not grow with the dataset.
Where all maps are kept from an earlier run, the model is never loaded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

from api_cli.errors import Interrupted
from api_cli.masking import Method
from api_cli.options.prompt import GENERAL_QUESTION
from api_cli.relevance import RelevanceModel
from api_cli.relevance.fit import GridPart
from api_cli.runs.computing import Computing, LazyModel
from api_cli.runs.finishing import Finishing
from api_cli.runs.jobs import Found, Job, Loaded, Report, Written
from api_cli.runs.map_store import MapStore
from api_cli.runs.reading import Reading
from api_cli.runs.rendering import Rendering
from api_cli.runs.shuffling import Shuffle
from api_cli.signals import deferred


class Belt:
    """Carries samples through a model into sinks.

    Args:
        method: what is made of the maps.
        load: loads the auxiliary model; called once, when the first map must be computed.
        locate: width and height of an image to the part of the patch grid that shows it.
        store: maps that are kept, if any.
        shuffle: whose mask each sample takes, if not its own.
        general: the question that relative maps are relative to.
        save_maps: whether to write maps beside the masked images.
        image_format: a key of `endings.FORMATS`, or "source" for each source's own.
        quality: of jpg and webp, 1 to 100.
        batch_size: samples that go through the model together at most, halved for good where
            memory does not do; "auto" for as many as do best.
        num_workers: threads that read, blend and write.
        progress: called with the report after each sample.
    """

    def __init__(
        self,
        method: Method,
        load: Callable[[], RelevanceModel],
        locate: Callable[[tuple[int, int]], GridPart],
        *,
        store: MapStore | None = None,
        shuffle: Shuffle | None = None,
        general: str = GENERAL_QUESTION,
        save_maps: bool = False,
        image_format: str = "jpg",
        quality: int = 95,
        batch_size: int | str = 8,
        num_workers: int = 2,
        progress: Callable[[Report], None] = lambda report: None,
    ) -> None:
        self._num_workers = num_workers
        self._model = LazyModel(load, batch_size)
        self._finishing = Finishing(progress)
        self._reading = Reading(
            self._model, locate, store, num_workers, self._finishing, shuffle, general
        )
        self._computing = Computing(self._model, store, self._finishing, general)
        self._rendering = Rendering(
            method, save_maps=save_maps, image_format=image_format, quality=quality
        )

    @property
    def batch_size(self) -> int:
        """Samples that go through the model together, as things stand."""
        return self._model.batch_size

    def run(self, jobs: Iterable[Job]) -> Report:
        """Process every job. A sample that fails is noted and the rest go on.

        Raises:
            ApipromptError: where the model cannot be loaded, or not even one image fits.
            SourceGoneError: where the dataset or the model fails on one sample after the other.
            Interrupted: after SIGINT, SIGTERM or SIGHUP, once what is in flight is written.
            OSError: where results cannot be written.
        """
        pool = ThreadPoolExecutor(self._num_workers, thread_name_prefix="belt")
        writing: deque[tuple[Loaded, Found, Future[list[Written]]]] = deque()

        def finish_all(but: int = 0) -> None:
            while len(writing) > but:
                self._finishing.finish(*writing.popleft())

        with deferred() as arrived:
            try:
                for batch in self._computing.batches(
                    self._reading.ahead(pool, iter(jobs), arrived)
                ):
                    if arrived.signal is not None:
                        break
                    for loaded, found in self._computing.relevance(batch):
                        future = pool.submit(self._rendering.render, loaded, found)
                        writing.append((loaded, found, future))
                    finish_all(but=self._model.batch_size + self._num_workers)
                finish_all()
            except OSError:  # nothing can be written any more
                raise
            except BaseException:  # no fault of what is in flight
                finish_all()
                raise
            finally:
                # not even the model that a thread is loading is waited for
                pool.shutdown(wait=False, cancel_futures=True)
                self._finishing.close()
            if arrived.signal is not None:
                raise Interrupted(arrived.signal)
        return self._finishing.report
