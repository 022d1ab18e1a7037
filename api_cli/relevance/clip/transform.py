"""From an RGB image to CLIP's pixels: open_clip's validation transform."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor

import numpy as np
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.utils import to_2tuple
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode, functional

_LONGEST = 4  # times its shorter side: of a longer image only what the crop keeps is resized
_LARGEST = 2**24  # pixels of an image that may be copied for a quicker resize


class Transform:
    """What open_clip does to an image before its model sees it.

    To the last bit, but for strips, which are not resized where the crop throws away, and for
    `quick`: torchvision's resize of 8-bit tensors takes a tenth of the time and differs from
    Pillow's by one level of 255 in 2 pixels of 1,000 of a photograph. With the demo model that
    moves 6% of the masks by more than one grey level, 7 at most: less than bf16 does (76%, 13),
    more than fp16 (2%, 2), and too much for float32.

    Args:
        config: open_clip's configuration of the model's preprocessing.
        quick: whether torchvision's resize will do.

    Attributes:
        size: width and height of what the model sees.
        resample: Pillow's filter of the resize.
    """

    def __init__(self, config: PreprocessCfg, *, quick: bool) -> None:
        height, width = to_2tuple(config.size)
        self.size = (width, height)
        bilinear = config.interpolation == "bilinear"
        self.resample = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
        self._filter = InterpolationMode.BILINEAR if bilinear else InterpolationMode.BICUBIC
        self._squash = config.resize_mode == "squash"
        self._quick = quick
        self._mean = torch.tensor(config.mean).view(3, 1, 1)
        self._std = torch.tensor(config.std).view(3, 1, 1)
        # it knows the ways to resize that hardly any model asks for
        self._rare: Callable[[Image.Image], torch.Tensor] | None = None
        if not self._squash and (config.resize_mode != "shortest" or width != height):
            self._rare = image_transform_v2(config, is_train=False)

    def __call__(self, image: Image.Image, size: tuple[int, int] | None = None) -> torch.Tensor:
        """An RGB image of any size to normalised pixels (3, H, W) float32.

        Args:
            image: to show.
            size: width and height of what the model sees of it, if not its usual one.
        """
        if image.size != self.size and self._rare is not None:
            return self._rare(image)
        levels = self._resize(image, size or self.size).to(
            torch.float32, memory_format=torch.contiguous_format
        )
        return levels.div_(255).sub_(self._mean).div_(self._std)

    def _resize(self, image: Image.Image, size: tuple[int, int]) -> torch.Tensor:
        """The image, or its centre, at that size: (3, H, W) uint8."""
        width, height = size
        if image.size == size:
            return _tensor(image)
        whole = size if self._squash else _shorter_to(image.size, width)
        if max(whole) > _LONGEST * max(size):
            return _tensor(resize_centre(image, width, self.resample))
        left, top = round((whole[0] - width) / 2), round((whole[1] - height) / 2)
        if self._quick and image.width * image.height <= _LARGEST:
            levels: torch.Tensor = functional.resize(
                _tensor(image), [whole[1], whole[0]], self._filter, antialias=True
            )
            return levels[:, top : top + height, left : left + width]
        resized = image.resize(whole, self.resample)
        return _tensor(resized.crop((left, top, left + width, top + height)))


def resize_centre(image: Image.Image, side: int, resample: Image.Resampling) -> Image.Image:
    """The centre square of an image whose shorter side is resized to `side`, and no more of it.

    Within a level of resizing the whole and cropping, wherever no filter overshoots the 256 levels.
    """
    whole = _shorter_to(image.size, side)
    left, right = _middle(image.width, whole[0], side)
    top, bottom = _middle(image.height, whole[1], side)
    margin = 3 * max(1, min(image.size) / side)  # more than the filters look to either side
    first, last = max(0, floor(top - margin)), min(image.height, ceil(bottom + margin))
    rows = image.resize((side, last - first), resample, (left, first, right, last))
    return rows.resize((side, side), resample, (0, top - first, side, bottom - first))


def _shorter_to(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height once the shorter of them is `side`, rounded down as torchvision does."""
    short = min(size)
    return int(side * size[0] / short), int(side * size[1] / short)


def _middle(length: int, resized: int, side: int) -> tuple[float, float]:
    """Where the middle `side` pixels of a `length` that is resized begin and end, unresized."""
    start = round((resized - side) / 2)
    return start * length / resized, (start + side) * length / resized


def _tensor(image: Image.Image) -> torch.Tensor:
    """(3, H, W) uint8, a view of (H, W, 3)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
