"""The moving belt: read ahead -> relevance -> render -> write, each while the others work.

Threads read and preprocess pictures ahead of the model, which runs on the calling thread; threads
blend, encode and write behind it. Queues are bounded, so memory does not grow with the dataset.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageOps

from api_cli.errors import ModelError
from api_cli.masking import Mask, MaskSettings, apply_mask
from api_cli.relevance import Prepared, RelevanceModel
from api_cli.run_folder import FORMATS, RunFolder
from datasets_manager import Sample

MakeMask = Callable[[torch.Tensor, float, int], Mask]

_MANIFEST_FIELDS = ("file_name", "image", "key", "index", "question", "image_sha256", "flat")


@dataclass(frozen=True)
class Variant:
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
        model: the auxiliary model.
        make_mask: maps (M, h, w), contrast and kernel size to a mask; goes with the model.
        image_format: a key of `FORMATS`.
        quality: of jpg and webp, 1 to 100.
        batch_size: images a forward pass at most; halved for good where memory does not do.
        num_workers: threads that read, blend and write.
        progress: called with the report after each sample.
    """

    def __init__(
        self,
        model: RelevanceModel,
        make_mask: MakeMask,
        *,
        image_format: str = "jpg",
        quality: int = 95,
        batch_size: int = 8,
        num_workers: int = 2,
        progress: Callable[[Report], None] = lambda report: None,
    ) -> None:
        self._model = model
        self._make_mask = make_mask
        self._format = image_format
        self._quality = quality
        self._batch_size = batch_size
        self._num_workers = num_workers
        self._progress = progress
        self.report = Report()

    def run(self, jobs: Iterable[Job]) -> Report:
        """Process every job. A sample that fails is noted and the rest go on.

        Raises:
            ModelError: where not even one image fits into memory.
            OSError: where results cannot be written.
        """
        with ThreadPoolExecutor(self._num_workers, thread_name_prefix="belt") as pool:
            writing: deque[tuple[_Loaded, Future[list[_Written]]]] = deque()
            try:
                for batch in self._batches(self._read_ahead(pool, iter(jobs))):
                    for loaded, maps in self._relevance(batch):
                        writing.append((loaded, pool.submit(self._render, loaded, maps)))
                    while len(writing) > self._batch_size + self._num_workers:
                        self._finish(*writing.popleft())
                while writing:
                    self._finish(*writing.popleft())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return self.report

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
            else:
                self._fail(job, "read", error)

    def _batches(self, loaded: Iterator[_Loaded]) -> Iterator[list[_Loaded]]:
        batch: list[_Loaded] = []
        for item in loaded:
            batch.append(item)
            if len(batch) >= self._batch_size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _read(self, job: Job) -> _Loaded:
        if not job.sample.question.strip():
            raise ValueError("the question is empty")
        content = job.sample.read_image()
        image = decode(content)
        return _Loaded(job, image, self._model.prepare(image), hashlib.sha256(content).hexdigest())

    def _relevance(self, batch: Sequence[_Loaded]) -> Iterator[tuple[_Loaded, torch.Tensor]]:
        """Maps of a batch; where it fails, of its halves, down to the sample that is to blame."""
        layers = _layers(variant for loaded in batch for variant in loaded.job.variants)
        start = time.perf_counter()
        try:
            maps = self._model.relevance(
                [loaded.prepared for loaded in batch],
                [loaded.job.sample.question for loaded in batch],
                layers,
            )
        except Exception as error:  # whatever a model raises is the sample's, not the run's, end
            out_of_memory = _is_out_of_memory(error)
            if out_of_memory:
                self._batch_size = max(1, len(batch) // 2)
                if torch.cuda.is_available():
                    torch.cuda.empty_cache()
            if len(batch) == 1 and out_of_memory:
                raise ModelError(
                    "out of memory at batch size 1; use a smaller model, --precision bf16 or "
                    "another --device"
                ) from error
            if len(batch) == 1:
                self._fail(batch[0].job, "relevance", error)
                return
        else:
            self.report.seconds_model += time.perf_counter() - start
            for loaded, map_ in zip(batch, maps, strict=True):
                wanted = [layers.index(layer) for layer in _layers(loaded.job.variants)]
                yield loaded, map_[wanted]
            return
        self.report.seconds_model += time.perf_counter() - start
        half = (len(batch) + 1) // 2
        yield from self._relevance(batch[:half])
        yield from self._relevance(batch[half:])

    def _render(self, loaded: _Loaded, maps: torch.Tensor) -> list[_Written]:
        """Mask, blend, encode and write a sample in each of its settings."""
        layers = _layers(loaded.job.variants)
        box = loaded.prepared.part.box
        written = []
        for variant in loaded.job.variants:
            settings = variant.mask
            mask = self._make_mask(
                maps[layers.index(variant.layer)], settings.enhance_coe, settings.kernel_size
            )
            masked = encode(
                apply_mask(loaded.image, mask, settings, box), self._format, self._quality
            )
            file_name = variant.folder.save_image(loaded.job.sample.key, masked)
            written.append(_Written(variant.folder, file_name, mask.flat))
        return written

    def _finish(self, loaded: _Loaded, future: Future[list[_Written]]) -> None:
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
            folder.add(_row(loaded, file_name, flat))
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
    prepared: Prepared
    sha256: str


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
        {"compress_level": 3} if image_format == "png" else {"quality": quality}
    )
    image.save(buffer, FORMATS[image_format], **options)
    return buffer.getvalue()


def default_num_workers(num_workers: int | str) -> int:
    """The number asked for; for "auto" one thread a core this process may use, at most eight."""
    if isinstance(num_workers, int):
        return num_workers
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)


def auto_batch_size(device: torch.device, batch_size: int | str) -> int:
    """The size asked for; for "auto" a large one on GPUs, to be halved where it does not fit."""
    if isinstance(batch_size, int):
        return batch_size
    return 64 if device.type == "cuda" else 8


def _layers(variants: Iterable[Variant]) -> list[int]:
    return sorted({variant.layer for variant in variants})


def _row(loaded: _Loaded, file_name: str, flat: bool) -> dict[str, Any]:
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
        **extra,
        "image_sha256": loaded.sha256,
        "flat": flat,
    }


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )
