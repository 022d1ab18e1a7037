"""Demo scenes: a few everyday objects on a simple background, with every object's name and box.

`compose` draws one scene from a random generator and nothing else, so a seed fixes a scene.
Glyphs are Noto Color Emoji (SIL OFL 1.1), rendered once a process and kept in several sizes,
turns and flips. Questions about a scene are made in `questions.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from things import COLOURS, THING_BY_NAME, THINGS, Thing, Tint

FONT_PATH = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
FONT_SIZE = 109  # the only size of the font's bitmaps

Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, x1 and y1 not included

MIN_SIDE, MAX_SIDE = 0.20, 0.42  # an object's longer side, as a share of sqrt(width * height)
TURNS = (-16, -8, 0, 8, 16)  # degrees
SIZE_STEP = 1.06  # sizes are rounded to a geometric series, so that sprites are used again
MAX_OVERLAP = 0.06  # of the smaller box

_SOLID = [255 * (alpha > 24) for alpha in range(256)]  # what counts towards a glyph's box


class SceneObject(NamedTuple):
    """An object as placed. `color` is None for things that keep their natural colours."""

    name: str
    color: str | None
    box: Box

    @property
    def label(self) -> str:
        """The noun with its colour, where it has one: "red car", "pizza"."""
        return f"{self.color} {self.name}" if self.color else self.name

    @property
    def area(self) -> int:
        """Pixels in the box."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the box (x, y) in pixels."""
        x0, y0, x1, y1 = self.box
        return (x0 + x1) / 2, (y0 + y1) / 2


@dataclass(frozen=True)
class Scene:
    """A picture and what is on it. `image`: (height, width, 3) uint8 RGB."""

    image: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


class Sprite(NamedTuple):
    """A glyph ready to paste: colour times opacity, and 255 minus opacity."""

    premultiplied: NDArray[np.uint8]  # (h, w, 3)
    transparency: NDArray[np.uint8]  # (h, w, 1)


def _render_emoji(emoji: str) -> Image.Image:
    """The emoji as RGBA, cropped to what is not transparent."""
    canvas = Image.new("RGBA", (160, 160))
    font = ImageFont.truetype(FONT_PATH, FONT_SIZE)
    ImageDraw.Draw(canvas).text((8, 8), emoji, font=font, embedded_color=True)
    box = canvas.getchannel("A").point(_SOLID).getbbox()
    if box is None:
        raise ValueError(f"{FONT_PATH} has no glyph for {emoji!r}; install fonts-noto-color-emoji")
    return canvas.crop(box)


def recolour(glyph: Image.Image, tint: Tint) -> Image.Image:
    """The RGBA glyph with its coloured parts turned to one colour; greys stay as they are."""
    rgba = np.asarray(glyph)
    hsv = np.asarray(glyph.convert("RGB").convert("HSV")).astype(np.float32) / 255
    saturation, value = hsv[..., 1], hsv[..., 2]
    coloured = np.clip((saturation - 0.11) / 0.12, 0, 1) * (value > 0.12)
    weights = coloured * (rgba[..., 3] > 128)
    # Lightness, not value: shades of a bright red differ mostly in how much white they hold.
    light = value * (1 - 0.5 * saturation)
    known = light[weights > 0.5]
    low, high = np.quantile(known, (0.05, 0.95)) if known.size else (0.0, 1.0)
    rank = np.clip((light - low) / max(high - low, 0.12), 0, 1)
    tinted = np.empty_like(hsv)
    tinted[..., 0] = tint.hue
    tinted[..., 1] = tint.saturation * (1 - 0.25 * rank)
    tinted[..., 2] = tint.low + (tint.high - tint.low) * rank
    target = Image.fromarray(np.round(tinted * 255).astype(np.uint8), "HSV").convert("RGB")
    mixed = rgba[..., :3] + coloured[..., None] * (np.asarray(target).astype(float) - rgba[..., :3])
    return Image.fromarray(np.dstack([np.round(mixed).astype(np.uint8), rgba[..., 3]]), "RGBA")


@cache
def glyph(name: str, color: str | None) -> Image.Image:
    """The named thing's glyph, RGBA at the font's own size, in a named colour if given."""
    natural = _render_emoji(THING_BY_NAME[name].emoji)
    return recolour(natural, COLOURS[color]) if color else natural


@cache
def _turned(name: str, color: str | None, turn: int, flip: bool) -> Image.Image:
    """A glyph flipped and turned by `turn` degrees, premultiplied RGBA, cropped."""
    picture = glyph(name, color).convert("RGBa")
    if flip:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if turn:
        picture = picture.rotate(turn, Image.Resampling.BICUBIC, expand=True)
        picture = picture.crop(picture.getchannel("a").point(_SOLID).getbbox())
    return picture


@cache
def sprite(name: str, color: str | None, side: int, turn: int, flip: bool) -> Sprite:
    """A glyph turned by `turn` degrees, with a longer side of `side` pixels once cropped."""
    picture = _turned(name, color, turn, flip)
    scale = side / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    pixels = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
    return Sprite(np.minimum(pixels[..., :3], pixels[..., 3:]), 255 - pixels[..., 3:])


def _random_colour(rng: np.random.Generator, *, dim: bool) -> NDArray[np.float32]:
    """A background colour, (3,) float32 in [0, 255]: soft, never as dark as a black object."""
    hue, saturation = rng.random(), rng.uniform(0.04, 0.48)
    value = rng.uniform(0.5, 0.76) if dim else 1 - 0.4 * rng.random() ** 1.5
    spokes = (hue * 6 + np.array([5, 3, 1])) % 6
    rgb = value * (1 - saturation * np.clip(np.minimum(spokes, 4 - spokes), 0, 1))
    return (255 * rgb).astype(np.float32)


def background(
    rng: np.random.Generator, width: int, height: int, *, dim: bool = False
) -> NDArray[np.uint8]:
    """A plain, graded, checkered or noisy ground, (height, width, 3); `dim` keeps off white."""
    first, second = _random_colour(rng, dim=dim), _random_colour(rng, dim=dim)
    kind = rng.integers(4)
    if kind == 0:
        return np.broadcast_to(first.astype(np.uint8), (height, width, 3)).copy()
    if kind == 1:
        angle = rng.uniform(0, 2 * math.pi)
        x = np.linspace(-1, 1, width, dtype=np.float32) * math.cos(angle)
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] * math.sin(angle)
        weight = (0.5 + 0.36 * (x + y))[..., None].clip(0, 1)
        return (first + weight * (second - first)).astype(np.uint8)
    if kind == 2:
        second = first + 0.45 * (second - first)  # a quiet pattern
        cell = rng.uniform(0.06, 0.16) * math.sqrt(width * height)
        x = (np.arange(width) / cell).astype(np.int64)
        y = (np.arange(height) / cell).astype(np.int64)
        odd = ((x + y[:, None]) % 2).astype(bool)
        return np.where(odd[..., None], first, second).astype(np.uint8)
    cells = int(rng.integers(3, 9))
    blobs = first + rng.uniform(-20, 20, (cells, cells, 3)).astype(np.float32)
    coarse = Image.fromarray(blobs.clip(0, 255).astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    strength = int(rng.integers(4, 18))
    smooth += rng.integers(-strength, strength + 1, (height, width, 1), dtype=np.int16)
    return smooth.clip(0, 255).astype(np.uint8)


@dataclass
class _Layout:
    """Boxes placed so far on a canvas of `width` x `height` pixels."""

    width: int
    height: int
    boxes: list[Box] = field(default_factory=list)

    def place(self, rng: np.random.Generator, w: int, h: int) -> Box | None:
        """A free place for a w x h sprite, or None when twenty tries found none."""
        if w > self.width or h > self.height:
            return None
        for _ in range(20):
            x0 = int(rng.integers(self.width - w + 1))
            y0 = int(rng.integers(self.height - h + 1))
            box = (x0, y0, x0 + w, y0 + h)
            if all(_overlap(box, other) <= MAX_OVERLAP for other in self.boxes):
                self.boxes.append(box)
                return box
        return None


def _overlap(a: Box, b: Box) -> float:
    """Shared area as a share of the smaller box."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _cast(rng: np.random.Generator) -> list[tuple[Thing, str | None]]:
    """What a scene shows: 2 to 6 things with their colours.

    Coloured things come up more than their share. One scene in six repeats a thing (something
    to count), one in five shows a thing in two colours (something to tell apart).
    """
    count = int(rng.integers(2, 7))
    coloured = sum(thing.recolourable for thing in THINGS)
    chances = np.array([1.9 if thing.recolourable else 1.0 for thing in THINGS])
    picks = rng.choice(len(THINGS), count, replace=False, p=chances / chances.sum())
    palette = list(COLOURS)
    cast: list[tuple[Thing, str | None]] = [
        (THINGS[i], palette[rng.integers(len(palette))] if THINGS[i].recolourable else None)
        for i in picks
    ]
    play = rng.random()
    if play < 1 / 6:
        repeats = int(rng.integers(2, min(4, count) + 1))
        cast[:repeats] = [cast[0]] * repeats
    elif play < 1 / 6 + 1 / 5:
        twin = THINGS[rng.integers(coloured)]
        two = rng.choice(len(palette), 2, replace=False)
        cast = [entry for entry in cast if entry[0] is not twin][: count - 2]
        cast += [(twin, palette[two[0]]), (twin, palette[two[1]])]
    return cast


def _side(rng: np.random.Generator, count: int, unit: float) -> int:
    """A sprite's longer side in pixels, on the series of sizes; crowded scenes stay smaller."""
    largest = MAX_SIDE if count <= 3 else 0.36 if count == 4 else 0.31
    side = unit * math.exp(rng.uniform(math.log(MIN_SIDE), math.log(largest)))
    return round(SIZE_STEP ** round(math.log(side, SIZE_STEP)))


def compose(rng: np.random.Generator, width: int, height: int) -> Scene:
    """Draw one scene of `width` x `height` pixels; see `arrange`."""
    cast = _cast(rng)
    unit = math.sqrt(width * height)
    scene = arrange(rng, width, height, cast, lambda: _side(rng, len(cast), unit))
    return compose(rng, width, height) if scene is None else scene


def arrange(
    rng: np.random.Generator,
    width: int,
    height: int,
    cast: Sequence[tuple[Thing, str | None]],
    side: Callable[[], int],
) -> Scene | None:
    """Draw things with their colours, each with a longer side of `side()` pixels.

    One that finds no room is left out; None where fewer than two are left. Boxes are tight around
    what was drawn, and no object covers more than a sliver of another.
    """
    ground = background(rng, width, height, dim=any(color == "white" for _, color in cast))
    canvas = ground.astype(np.uint16)
    layout = _Layout(width, height)
    objects: list[SceneObject] = []
    for thing, color in cast:
        longest, turn = side(), TURNS[rng.integers(len(TURNS))]
        flip = bool(rng.integers(2))
        drawn = sprite(thing.name, color, min(longest, width, height), turn, flip)
        box = layout.place(rng, drawn.premultiplied.shape[1], drawn.premultiplied.shape[0])
        if box is None:
            continue
        x0, y0, x1, y1 = box
        # Lighting differs a little from object to object.
        gain = rng.integers(232, 257, 3, dtype=np.uint16)  # of 256
        under = canvas[y0:y1, x0:x1]
        canvas[y0:y1, x0:x1] = (drawn.premultiplied * gain >> 8) + under * drawn.transparency // 255
        objects.append(SceneObject(thing.name, color, box))
    return Scene(canvas.astype(np.uint8), tuple(objects)) if len(objects) >= 2 else None


def random_shape(rng: np.random.Generator, area: float, *, square: bool) -> tuple[int, int]:
    """Width and height of about `area` pixels: square, or 1.2:1 to 2:1 in either direction."""
    ratio = 1.0 if square else math.exp(rng.uniform(math.log(1.2), math.log(2.0)))
    if rng.random() < 0.5:
        ratio = 1 / ratio
    return round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
