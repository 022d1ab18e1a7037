"""A run from kept maps against decoding, blending and encoding alone."""

from __future__ import annotations

from PIL import Image

from api_cli.masking import Array, Box, MaskSettings, apply_mask, clip_mask
from api_cli.runs.pictures import encode
from experiments.bench.common import Row
from experiments.bench.kept_maps import Draw, against_alone

_AGAIN = MaskSettings(enhance_coe=2, kernel_size=1)


def measure(photographs: int, rounds: int) -> list[Row]:
    """Time of a run with other mask parameters over that of the pictures' own work."""
    ratio = against_alone([_AGAIN], _alone, photographs, rounds)
    return [
        {
            "photographs": photographs,
            "from kept maps s": ratio.a_seconds,
            "pictures alone s": ratio.b_seconds,
            "ratio": ratio.median,
            "lowest": ratio.low,
            "highest": ratio.high,
        }
    ]


def _alone(maps: Array, box: Box) -> Draw:
    mask = clip_mask(maps, _AGAIN)

    def draw(image: Image.Image) -> list[bytes]:
        return [encode(apply_mask(image, mask, _AGAIN, box), "jpg", 95)]

    return draw
