"""The belt's first stage: pictures are read and preprocessed ahead of the model."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from weakref import WeakValueDictionary

from api_cli.errors import ApipromptError
from api_cli.options.prompt import without_image_marks
from api_cli.relevance.fit import GridPart
from api_cli.runs.computing import LazyModel
from api_cli.runs.finishing import Finishing
from api_cli.runs.jobs import Job, Loaded, layers_of
from api_cli.runs.map_store import MapStore
from api_cli.runs.pixel_budget import Picture, PixelBudget


class Reading:
    """Reads jobs' pictures on the belt's threads, in order, up to a batch ahead of their use.

    Args:
        model: prepares pictures whose maps are not kept.
        locate: width and height of an image to the part of the patch grid that shows it.
        store: maps that are kept, if any.
        num_workers: threads of the pool.
        finishing: takes the samples that cannot be read.
    """

    def __init__(
        self,
        model: LazyModel,
        locate: Callable[[tuple[int, int]], GridPart],
        store: MapStore | None,
        num_workers: int,
        finishing: Finishing,
    ) -> None:
        self._model = model
        self._locate = locate
        self._store = store
        self._num_workers = num_workers
        self._finishing = finishing
        self._pictures: WeakValueDictionary[str, Picture] = WeakValueDictionary()
        self._looking_up = Lock()
        self._budget = PixelBudget()

    def ahead(self, pool: ThreadPoolExecutor, jobs: Iterator[Job]) -> Iterator[Loaded]:
        """Jobs with their pictures, in order. Raises ApipromptError where the model will not do."""
        reading: deque[tuple[Job, Future[Loaded]]] = deque()
        while True:
            while len(reading) < self._model.batch_size + self._num_workers:
                if (job := next(jobs, None)) is None:
                    break
                reading.append((job, pool.submit(self._read, job)))
            if not reading:
                return
            job, future = reading.popleft()
            start = time.perf_counter()
            error = future.exception()
            self._finishing.report.seconds_reading += time.perf_counter() - start
            if error is None:
                last = future.result()  # held here, so that the next one finds their picture
                yield last
            elif isinstance(error, ApipromptError):  # the model could not be loaded
                raise error
            else:
                self._finishing.fail(job, "read", error)

    def _read(self, job: Job) -> Loaded:
        sample = job.sample
        if not without_image_marks(sample.query):
            raise ValueError("the question is empty")
        content = sample.read_image()
        digest = hashlib.sha256(content).hexdigest()
        picture = self._picture(digest, content)
        with picture.opened() as image:
            box = self._locate(image.size).box
            if self._store is not None:
                kept = self._store.get(digest, sample.query, layers_of(job.variants))
                if kept is not None:
                    return Loaded(job, picture, digest, box, None, kept)
            prepared = picture.prepared(lambda: self._model.get().prepare(image))
        return Loaded(job, picture, digest, box, prepared, None)

    def _picture(self, sha256: str, content: bytes) -> Picture:
        """The picture of that content, the same one for samples that are here at the same time."""
        with self._looking_up:
            return self._pictures.setdefault(sha256, self._budget.picture(content))
