"""The moving belt: read ahead -> relevance -> render -> write, each while the others work.

Threads read and preprocess pictures ahead of the model, which runs on the calling thread; threads
blend, encode and write behind it. Queues are bounded, so memory does not grow with the dataset.
Where all maps are kept from an earlier run, the model is never loaded.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from api_cli.errors import ApipromptError, ModelError
from api_cli.heatmap import overlay
from api_cli.map_store import MapStore
from api_cli.masking import Array, Box, MaskSettings, apply_mask
from api_cli.methods import Method
from api_cli.relevance import Prepared, Relevance, RelevanceModel
from api_cli.relevance.fit import GridPart
from api_cli.run_folder import FORMATS, RunFolder
from datasets_manager import Sample

_MANIFEST_FIELDS = {
    *("file_name", "image", "key", "index", "question", "query", "image_sha256", "flat"),
    *("auxiliary_answer", "auxiliary_tokens", "highlighted"),
}
MAPS_SUFFIX = ".npy"
_FIRST_AUTO_BATCH_SIZE = 8  # until the model is there and says what it would like


class Variant(NamedTuple):
    """One setting of a run and where its results go."""

    layer: int
    mask: MaskSettings
    folder: RunFolder


class Job(NamedTuple):
    """One sample and the settings in which it is not finished."""

    sample: Sample
    variants: tuple[Variant, ...]


@dataclass
class Report:
    """What the belt did.

    Attributes:
        finished: samples whose pictures are all written.
        failed: samples that went to the error ledger.
        flat: masked images that came out unchanged for want of relevance.
        seconds_reading: time the model waited for pictures.
        seconds_model: time in the model.
        seconds_writing: time the model waited for masked images to be written.
    """

    finished: int = 0
    failed: int = 0
    flat: int = 0
    seconds_reading: float = 0.0
    seconds_model: float = 0.0
    seconds_writing: float = 0.0


class Belt:
    """Carries samples through a model into run folders.

    Args:
        method: what is made of the maps.
        load: loads the auxiliary model; called once, when the first map must be computed.
        locate: width and height of an image to the part of the patch grid that shows it.
        store: maps that are kept, if any.
        save_maps: whether to write maps beside the masked images.
        image_format: a key of `FORMATS`.
        quality: of jpg and webp, 1 to 100.
        batch_size: images a forward pass at most, halved for good where memory does not do;
            "auto" for what the model would like.
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
        save_maps: bool = False,
        image_format: str = "jpg",
        quality: int = 95,
        batch_size: int | str = 8,
        num_workers: int = 2,
        progress: Callable[[Report], None] = lambda report: None,
    ) -> None:
        self._method = method
        self._load = load
        self._locate = locate
        self._store = store
        self._save_maps = save_maps
        self._format = image_format
        self._quality = quality
        self._auto = not isinstance(batch_size, int)
        self._batch_size = batch_size if isinstance(batch_size, int) else _FIRST_AUTO_BATCH_SIZE
        self._num_workers = num_workers
        self._progress = progress
        self._loaded_model: RelevanceModel | None = None
        self._loading = Lock()
        self.report = Report()

    def run(self, jobs: Iterable[Job]) -> Report:
        """Process every job. A sample that fails is noted and the rest go on.

        Raises:
            ApipromptError: where the model cannot be loaded, or not even one image fits.
            OSError: where results cannot be written.
        """
        with ThreadPoolExecutor(self._num_workers, thread_name_prefix="belt") as pool:
            writing: deque[tuple[_Loaded, Relevance, Future[list[_Written]]]] = deque()
            try:
                for batch in self._batches(self._read_ahead(pool, iter(jobs))):
                    for loaded, found in self._relevance(batch):
                        future = pool.submit(self._render, loaded, found.maps)
                        writing.append((loaded, found, future))
                    while len(writing) > self._batch_size + self._num_workers:
                        self._finish(*writing.popleft())
                while writing:
                    self._finish(*writing.popleft())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return self.report

    def _model(self) -> RelevanceModel:
        with self._loading:
            if self._loaded_model is None:
                self._loaded_model = self._load()
                if self._auto:
                    self._batch_size = self._loaded_model.default_batch_size
            return self._loaded_model

    def _read_ahead(self, pool: ThreadPoolExecutor, jobs: Iterator[Job]) -> Iterator[_Loaded]:
        """Pictures in order, read up to a batch ahead of their use; failures are noted."""
        reading: deque[tuple[Job, Future[_Loaded]]] = deque()
        while True:
            while len(reading) < self._batch_size + self._num_workers:
                if (job := next(jobs, None)) is None:
                    break
                reading.append((job, pool.submit(self._read, job)))
            if not reading:
                return
            job, future = reading.popleft()
            start = time.perf_counter()
            error = future.exception()
            self.report.seconds_reading += time.perf_counter() - start
            if error is None:
                yield future.result()
            elif isinstance(error, ApipromptError):  # the model could not be loaded
                raise error
            else:
                self._fail(job, "read", error)

    def _batches(self, loaded: Iterator[_Loaded]) -> Iterator[list[_Loaded]]:
        """Batches for the model; a sample whose maps are kept is a batch of its own."""
        batch: list[_Loaded] = []
        for item in loaded:
            if item.prepared is None:
                yield [item]
                continue
            batch.append(item)
            if len(batch) >= self._batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _read(self, job: Job) -> _Loaded:
        sample = job.sample
        if not sample.query.strip():
            raise ValueError("the question is empty")
        content = sample.read_image()
        digest = hashlib.sha256(content).hexdigest()
        image = decode(content)
        box = self._locate(image.size).box
        if self._store is not None:
            kept = self._store.get(digest, sample.query, _layers(job.variants))
            if kept is not None:
                return _Loaded(job, image, digest, box, None, kept)
        return _Loaded(job, image, digest, box, self._model().prepare(image), None)

    def _relevance(self, batch: Sequence[_Loaded]) -> Iterator[tuple[_Loaded, Relevance]]:
        """What the model found out about each sample in its layers: kept, or computed and kept."""
        if batch[0].kept is not None:  # a batch of its own
            yield batch[0], batch[0].kept
            return
        start = time.perf_counter()
        layers = _layers(variant for loaded in batch for variant in loaded.job.variants)
        computed = self._compute(batch, layers)
        self.report.seconds_model += time.perf_counter() - start
        if self._store is not None:
            self._store.put(
                (loaded.sha256, loaded.job.sample.query, layers, found)
                for loaded, found in computed
                if np.isfinite(found.maps).all()
            )
        for loaded, found in computed:
            wanted = [layers.index(layer) for layer in _layers(loaded.job.variants)]
            yield loaded, found._replace(maps=found.maps[wanted])

    def _compute(
        self, batch: Sequence[_Loaded], layers: Sequence[int]
    ) -> list[tuple[_Loaded, Relevance]]:
        """The model's work on a batch; where it fails, on halves, down to the sample to blame."""
        try:
            found = self._model().relevance(
                [loaded.prepared for loaded in batch if loaded.prepared is not None],
                [loaded.job.sample.query for loaded in batch],
                layers,
            )
            return list(zip(batch, found, strict=True))
        except Exception as error:  # whatever a model raises ends the sample, not the run
            if _is_out_of_memory(error):
                if len(batch) == 1:
                    raise ModelError(
                        "out of memory at batch size 1; use a smaller model, --precision bf16 or "
                        "another --device"
                    ) from error
                self._batch_size = len(batch) // 2
            elif len(batch) == 1:
                self._fail(batch[0].job, "relevance", error)
                return []
        _free_cached_memory()  # here, where the handler no longer holds the batch's tensors
        half = (len(batch) + 1) // 2
        return self._compute(batch[:half], layers) + self._compute(batch[half:], layers)

    def _render(self, loaded: _Loaded, maps: Array) -> list[_Written]:
        """Mask, blend, encode and write a sample in each of its settings."""
        key = loaded.job.sample.key
        layers = _layers(loaded.job.variants)
        written = []
        for layer, mask_settings, folder in loaded.job.variants:
            map_ = maps[layers.index(layer)]
            coe, kernel_size = mask_settings.enhance_coe, mask_settings.kernel_size
            mask = self._method.make_mask(map_, coe, kernel_size)
            masked = apply_mask(loaded.image, mask, mask_settings, loaded.box)
            content = encode(masked, self._format, self._quality)
            written.append(_Written(folder, folder.save_image(key, content), mask.flat))
            if self._save_maps:
                self._write_maps(loaded, map_, folder)
        return written

    def _write_maps(self, loaded: _Loaded, map_: Array, folder: RunFolder) -> None:
        """Heat maps, then the array: its presence says that all are there."""
        key = loaded.job.sample.key
        for (name, sign), m in zip(self._method.maps, map_, strict=True):
            heat = encode(overlay(loaded.image, sign * m, loaded.box), "jpg", 90)
            folder.save_beside(key, f".{name}.jpg", heat)
        buffer = io.BytesIO()
        np.save(buffer, map_)
        folder.save_beside(key, MAPS_SUFFIX, buffer.getvalue())

    def _finish(self, loaded: _Loaded, found: Relevance, future: Future[list[_Written]]) -> None:
        """Enter a sample into the manifests, once its pictures are written."""
        start = time.perf_counter()
        error = future.exception()
        self.report.seconds_writing += time.perf_counter() - start
        if error is not None:
            if isinstance(error, OSError):  # a full disk is the run's matter, not the sample's
                raise error
            self._fail(loaded.job, "render", error)
            return
        for folder, file_name, flat in future.result():
            folder.add(_row(loaded, found.facts, file_name, flat))
            self.report.flat += flat
        self.report.finished += 1
        self._progress(self.report)

    def _fail(self, job: Job, stage: str, error: BaseException) -> None:
        sample = job.sample
        row = {
            "key": sample.key,
            "index": sample.index,
            "stage": stage,
            "error": f"{type(error).__name__}: {error}",
        }
        for variant in job.variants:
            variant.folder.fail(row)
        self.report.failed += 1
        self._progress(self.report)


class _Loaded(NamedTuple):
    job: Job
    image: Image.Image
    sha256: str
    box: Box
    prepared: Prepared | None  # where maps must be computed
    kept: Relevance | None  # else what was kept


class _Written(NamedTuple):
    folder: RunFolder
    file_name: str
    flat: bool


def decode(content: bytes) -> Image.Image:
    """The picture of a file's content, as `to_rgb` gives it.

    Raises:
        OSError, ValueError: where the content is no picture, or a truncated or too large one.
    """
    return to_rgb(Image.open(io.BytesIO(content)))


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture as a person sees it, in RGB: EXIF orientation applied, 16 bits brought to 8."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # Pillow's own conversion clips 16-bit grey to white
        image = image.point(lambda level: level / 256).convert("L")
    return image.convert("RGB")


def encode(image: Image.Image, image_format: str, quality: int) -> bytes:
    """A picture's file in a format of `FORMATS`; quality, 1 to 100, is of jpg and webp."""
    buffer = io.BytesIO()
    options: dict[str, Any] = (
        {"compress_level": 1} if image_format == "png" else {"quality": quality}
    )
    image.save(buffer, FORMATS[image_format], **options)
    return buffer.getvalue()


def default_num_workers(num_workers: int | str) -> int:
    """The number asked for; for "auto" one thread a core this process may use, at most eight."""
    if isinstance(num_workers, int):
        return num_workers
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)


def _layers(variants: Iterable[Variant]) -> list[int]:
    return sorted({variant.layer for variant in variants})


def _row(loaded: _Loaded, facts: Mapping[str, Any], file_name: str, flat: bool) -> dict[str, Any]:
    """The manifest's row; what the dataset knows keeps its name where that is free."""
    sample = loaded.job.sample
    extra = {
        f"dataset_{name}" if name in _MANIFEST_FIELDS else name: value
        for name, value in sample.extra.items()
    }
    return {
        "file_name": file_name,
        "key": sample.key,
        "index": sample.index,
        "question": sample.question,
        **({} if sample.hint is None else {"query": sample.query}),
        **facts,
        **extra,
        "image_sha256": loaded.sha256,
        "flat": flat,
    }


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # not imported where all maps are kept
    on_gpu = torch is not None and isinstance(error, torch.OutOfMemoryError)
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return on_gpu or on_cpu or isinstance(error, MemoryError)


def _free_cached_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
