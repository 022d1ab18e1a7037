"""The belt's first stage: pictures are read and preprocessed ahead of the model."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock
from weakref import WeakValueDictionary

from api_cli.errors import ApipromptError
from api_cli.options.prompt import GENERAL_QUESTION
from api_cli.relevance import Read
from api_cli.relevance.fit import GridPart
from api_cli.runs.blame import what_is_gone
from api_cli.runs.computing import LazyModel
from api_cli.runs.finishing import Finishing
from api_cli.runs.jobs import Found, Job, Loaded, Subject, general_reads_of, reads_of
from api_cli.runs.map_store import MapStore
from api_cli.runs.pixel_budget import Picture, PixelBudget
from api_cli.runs.shuffling import Shuffle
from api_cli.signals import Arrived
from datasets_manager import DatasetError, Sample

_SECONDS_BETWEEN_LOOKS = 0.2  # whether a signal has arrived


class Reading:
    """Reads jobs' pictures on the belt's threads, in order, up to a batch ahead of their use.

    Args:
        model: prepares pictures whose maps are not kept.
        locate: width and height of an image to the part of the patch grid that shows it.
        store: maps that are kept, if any.
        num_workers: threads of the pool.
        finishing: takes the samples that cannot be read.
        shuffle: whose mask each sample takes, if not its own.
        general: the question that relative maps are relative to.
    """

    def __init__(
        self,
        model: LazyModel,
        locate: Callable[[tuple[int, int]], GridPart],
        store: MapStore | None,
        num_workers: int,
        finishing: Finishing,
        shuffle: Shuffle | None = None,
        general: str = GENERAL_QUESTION,
    ) -> None:
        self._model = model
        self._locate = locate
        self._store = store
        self._num_workers = num_workers
        self._finishing = finishing
        self._read_before: Sample | None = None
        self._streak = finishing.streak(
            "read", lambda failures: what_is_gone(failures, self._read_before)
        )
        self._shuffle = shuffle
        self._general = general
        self._budget = PixelBudget()
        self._pictures: WeakValueDictionary[str, Picture] = WeakValueDictionary()
        self._looking_up = Lock()

    def ahead(
        self, pool: ThreadPoolExecutor, jobs: Iterator[Job], arrived: Arrived
    ) -> Iterator[Loaded]:
        """Jobs with their pictures, in order, until there are none or a signal has arrived.

        Raises:
            ApipromptError: where the model will not do, or the dataset is gone.
        """
        reading: deque[tuple[Job, Future[Loaded]]] = deque()
        while arrived.signal is None:
            while len(reading) < self._model.batch_size + self._num_workers:
                if (job := next(jobs, None)) is None:
                    break
                reading.append((job, pool.submit(self._read, job)))
            if not reading:
                return
            job, future = reading.popleft()
            start = time.perf_counter()
            while arrived.signal is None and not future.done():  # perhaps a model is being loaded
                wait([future], timeout=_SECONDS_BETWEEN_LOOKS)
            self._finishing.report.seconds_reading += time.perf_counter() - start
            if not future.done():
                return
            error = future.exception()
            if error is None:
                self._streak.settle()
                self._read_before = job.sample
                last = future.result()  # held here, so that the next one finds their picture
                yield last
            elif isinstance(error, ApipromptError) or not isinstance(error, Exception):
                raise error  # the model could not be loaded, or a thread was told to end
            elif job.sample.fault is not None:
                self._finishing.fail(job, "list", error)
            else:
                self._streak.fail(job, error)

    def _read(self, job: Job) -> Loaded:
        sample = job.sample
        if sample.fault is not None:
            raise DatasetError(sample.fault)
        len(sample.extra)  # read here, so that what cannot be read is the sample's matter
        stamp = sample.stamp
        picture = seen = self._picture(sample.read_image())
        subject = Subject(sample.key, sample.query, picture.sha256)
        if self._shuffle is not None:
            with picture.opened():  # so that one that does not open is this stage's matter
                pass
            other = self._shuffle.other(sample, picture.sha256)
            seen = self._picture(other.content)
            subject = Subject(other.sample.key, other.sample.query, seen.sha256)
        with seen.opened() as shown:
            box = self._locate(shown.size).box
            kept = self._kept(subject.sha256, subject.query, reads_of(job.variants))
            general = self._kept(subject.sha256, self._general, general_reads_of(job.variants))
            prepared = None
            if kept is None or general is None:
                prepared = seen.prepared(lambda: self._model.get().prepare(shown))
        return Loaded(job, picture, subject, box, prepared, kept, general and general.maps, stamp)

    def _kept(self, sha256: str, question: str, reads: Sequence[Read]) -> Found | None:
        """What is kept of a picture's maps under a question; None where not all of them are."""
        if not reads:
            return Found({}, {})
        found = None if self._store is None else self._store.get(sha256, question, reads)
        return found and Found(dict(zip(reads, found.maps, strict=True)), found.facts)

    def _picture(self, content: bytes) -> Picture:
        """The picture of that content, the same one for samples that are here at the same time."""
        sha256 = hashlib.sha256(content).hexdigest()
        with self._looking_up:
            return self._pictures.setdefault(sha256, Picture(sha256, content, self._budget))
