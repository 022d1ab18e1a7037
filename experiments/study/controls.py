"""Masks that are no model's, as run folders that `ask` takes: ceilings and wrong ones.

They fade as a given run does, and differ from it in where alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from api_cli.masking import CLIP, LLAVA, Array, Mask, MaskSettings, apply_mask, raise_floor
from api_cli.runs.pictures import decode, encode
from api_cli.runs.record import RECORD
from api_cli.runs.rendering import MAPS_SUFFIX
from api_cli.runs.run_folder import RunFolder
from api_cli.runs.settings import LATER, mask_settings
from datasets_manager import Sample, get_dataset

MARGIN = 0.05  # of a box's side, on every side

Box = Sequence[int]  # x0, y0, x1, y1 in pixels
MaskOf = Callable[[Sample, tuple[int, int]], Array]  # of a sample and its picture's size


def in_boxes(boxes: Sequence[Box], size: tuple[int, int]) -> Array:
    """1 in the boxes and a little around them, else 0; all ones without a box.

    Args:
        boxes: in pixels.
        size: width and height of the picture.

    Returns:
        (height, width) float32.
    """
    if not boxes:
        return np.ones((size[1], size[0]), np.float32)
    mask = np.zeros((size[1], size[0]), np.float32)
    for x0, y0, x1, y1 in boxes:
        dx, dy = round(MARGIN * (x1 - x0)), round(MARGIN * (y1 - y0))
        mask[max(y0 - dy, 0) : y1 + dy, max(x0 - dx, 0) : x1 + dx] = 1
    return mask


def true_boxes(sample: Sample, size: tuple[int, int]) -> Array:
    """What the question names; an absent thing leaves the picture as it is."""
    return in_boxes(sample.extra["asked_boxes"], size)


def all_boxes(sample: Sample, size: tuple[int, int]) -> Array:
    """What the question names, and what the answer is read from."""
    return in_boxes([*sample.extra["asked_boxes"], *sample.extra["answer_boxes"]], size)


def neighbour_box(sample: Sample, size: tuple[int, int]) -> Array:
    """The one thing nearest to what the answer is read from, and nothing else.

    Of all things that neither the question nor its answer is about; for an absent thing, the
    first that is there.
    """
    right = [*sample.extra["answer_boxes"], *sample.extra["asked_boxes"]]
    others = [one["box"] for one in sample.extra["objects"] if one["box"] not in right]
    if not others:
        return np.zeros((size[1], size[0]), np.float32)
    near = right[0] if right else others[0]

    def distance(box: Box) -> float:
        (x, y), (u, v) = (
            (box[0] + box[2], box[1] + box[3]),
            (near[0] + near[2], near[1] + near[3]),
        )
        return float((x - u) ** 2 + (y - v) ** 2)

    return in_boxes([min(others, key=distance)], size)


def inverted(run: Path) -> MaskOf:
    """One minus the run's own masks, made of the maps that `--save-maps` left beside its pictures.

    For pictures that the model saw whole: square ones.
    """
    record = _record(run)
    method = {"clip": CLIP, "llava": LLAVA}[record["settings"]["method"]]
    settings = _mask_settings(record)._replace(floor=0)

    def mask_of(sample: Sample, size: tuple[int, int]) -> Array:
        mask = method.make_mask(np.load(run / f"{sample.key}{MAPS_SUFFIX}"), settings, None)
        return mask.values if mask.flat else 1 - mask.values

    return mask_of


def write_control(run: Path, name: str, mask_of: MaskOf) -> Path:
    """A run folder beside the run's, of the same samples and fading, with other masks.

    What is finished in it already stays.
    """
    record = _record(run)
    config, settings = record["config"], _mask_settings(record)
    shared = {key: record["settings"].get(key) for key in ("dataset", "format", "quality")}
    fading = {"grayscale": settings.grayscale, "floor": settings.floor}
    path = run.parent.parent / f"CONTROL_{name}" / run.name
    folder = RunFolder(
        path,
        {**shared, **fading, "mask": name},
        {"config": config},
        image_format=shared["format"],
    )
    for sample in get_dataset(config["dataset"], Path(config["data_root"])):
        if sample.key not in folder:
            content = sample.read_image()
            image = decode(content)
            values = raise_floor(mask_of(sample, image.size), settings.floor)
            mask = Mask(values, flat=bool((values == 1).all()))
            height, width = values.shape
            masked = apply_mask(image, mask, settings, (0, 0, width, height))
            encoded = encode(masked, shared["format"], shared["quality"] or 0)
            files = folder.save_images(sample.key, {"file_name": encoded})
            own = {"key": sample.key, "index": sample.index, "question": sample.question}
            digest = {"image_sha256": sha256(content).hexdigest()}
            folder.add({**files, **own, **sample.extra, **digest}, sample.stamp)
    folder.close()
    return path


def _record(run: Path) -> Mapping[str, Any]:
    record: Mapping[str, Any] = yaml.safe_load((run / RECORD).read_text(encoding="utf-8"))
    return record


def _mask_settings(record: Mapping[str, Any]) -> MaskSettings:
    return mask_settings({**LATER, **record["settings"]})
