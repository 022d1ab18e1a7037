"""Each rendering once more, pixel by pixel, as its description says it; slow on purpose."""

from __future__ import annotations

import math

import numpy as np

COLD, WARM, HOT = (20, 20, 90), (220, 60, 40), (255, 240, 120)


def patch_at(place: float, cells: int, start: float, end: float, length: int) -> int:
    """The cell in which a point of the image, in pixels, lies."""
    return min(max(math.floor(start + place * (end - start) / length), 0), cells - 1)


def patches_at_size(patches: np.ndarray, size: tuple[int, int], box) -> np.ndarray:
    """(H, W) bool: whether a pixel's centre lies in one of the patches."""
    (width, height), (left, top, right, bottom) = size, box
    found = np.zeros((height, width), bool)
    for y in range(height):
        for x in range(width):
            row = patch_at(y + 0.5, patches.shape[0], top, bottom, height)
            column = patch_at(x + 0.5, patches.shape[1], left, right, width)
            found[y, x] = patches[row, column]
    return found


def mix(image: np.ndarray, other: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(H, W, 3): the image where levels are 255, the other where they are 0."""
    share = levels[..., None] / 255
    return image * share + other * (1 - share)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur, what lies beyond the edge being as the edge is."""
    reach = math.ceil(4 * sigma)
    weights = [math.exp(-((i / sigma) ** 2) / 2) for i in range(-reach, reach + 1)]
    out = image.astype(float)
    for axis in (0, 1):
        length = out.shape[axis]
        summed = np.zeros_like(out)
        for offset, weight in zip(range(-reach, reach + 1), weights, strict=True):
            at = [min(max(i + offset, 0), length - 1) for i in range(length)]
            summed += weight / sum(weights) * out.take(at, axis=axis)
        out = summed
    return out


def outlined(image: np.ndarray, kept: np.ndarray, colour, thick: int) -> np.ndarray:
    """A line of that width around what is kept (H, W), within the image's own edge."""
    height, width = kept.shape
    out = image.copy()
    for y in range(height):
        for x in range(width):
            near = kept[max(y - thick, 0) : y + thick + 1, max(x - thick, 0) : x + thick + 1]
            at_edge = min(x, y, width - 1 - x, height - 1 - y) < thick
            if near.any() and (not kept[y, x] or at_edge):
                out[y, x] = colour
    return out


def best_window(
    values: np.ndarray, size: tuple[int, int], box, side: float, ratios
) -> tuple[int, int, int, int] | None:
    """ViCrop's window as left, top, right, bottom, in patches; None for the whole."""
    height, width = values.shape
    across, down = size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])  # pixels a patch
    best, most = None, 0.0
    for ratio in ratios:
        rows = min(max(round(ratio * side * min(size) / down), 1), height)
        columns = min(max(round(ratio * side * min(size) / across), 1), width)
        sums = {}
        for y in range(height - rows + 1):
            for x in range(width - columns + 1):
                sums[y, x] = float(values[y : y + rows, x : x + columns].sum(dtype=float))
        y, x = max(sums, key=lambda at: sums[at])
        beside = [sums[at] for at in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)) if at in sums]
        if beside:
            more = (sums[y, x] - sum(beside) / len(beside)) / (rows * columns)
            if more > most:
                best, most = (x, y, x + columns, y + rows), more
    return best


def warped_from(marginal, start: float, end: float, length: int, floor: float) -> list[float]:
    """Which point of the axis each pixel's centre of the warped one shows, by bisection."""
    covered = [max(0.0, min(i + 1, end) - max(i, start)) for i in range(len(marginal))]
    mean = sum(m * c for m, c in zip(marginal, covered, strict=True)) / sum(covered)
    density = [floor + (1 - floor) * m / mean for m in marginal]

    def cumulated(place: float) -> float:
        """The share of all that lies before a point, in pixels of the image."""
        at = start + place / length * (end - start)
        parts = (max(0.0, min(i + 1, end, at) - max(i, start)) for i in range(len(marginal)))
        before = sum(d * p for d, p in zip(density, parts, strict=True))
        return before / sum(d * c for d, c in zip(density, covered, strict=True))

    places = []
    for pixel in range(length):
        low, high = 0.0, float(length)
        for _ in range(50):
            middle = (low + high) / 2
            if cumulated(middle) * length < pixel + 0.5:
                low = middle
            else:
                high = middle
        places.append(low)
    return places


def heat(image: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """The image in grey under translucent colours from cold over warm to hot."""
    out = np.zeros(image.shape)
    for y in range(levels.shape[0]):
        for x in range(levels.shape[1]):
            red, green, blue = (float(value) for value in image[y, x])
            grey = 0.299 * red + 0.587 * green + 0.114 * blue
            level = levels[y, x] / 127
            ends = (COLD, WARM) if level <= 1 else (WARM, HOT)
            part = level if level <= 1 else (levels[y, x] - 127) / 128
            for c in range(3):
                colour = ends[0][c] + part * (ends[1][c] - ends[0][c])
                out[y, x, c] = 0.45 * grey + 0.55 * colour
    return out
