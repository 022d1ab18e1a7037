"""Training batches for the demo CLIP: scenes as each fit shows them, and questions about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from questions import ask, groups, kinds_for, matches, phrase
from scenes import Scene, SceneObject, compose, random_shape
from torch.utils.data import IterableDataset

Tokenize = Callable[[list[str]], torch.Tensor]  # texts to token ids (T, context)

PHRASE_SHARE = 0.25  # bare nouns instead of questions
FILLER_SHARE = 0.15  # texts with words around them that say nothing
FILLERS = ("please", "hey,", "now", "in this image,", "in the photo,", "look:", "i wonder,", "so")
SHARES = {"square": 0.66, "squash": 0.18, "pad": 0.11, "crop": 0.05}  # of the scenes
FILL = 127  # padding, the mean colour of the preprocessing
VISIBLE = 0.5  # of an object's box, for it to be asked about in a cropped scene


def with_filler(rng: np.random.Generator, text: str) -> str:
    """The text with a filler or a made-up word, so that unknown words come to mean nothing."""
    if rng.random() < 0.5:
        return f"{FILLERS[rng.integers(len(FILLERS))]} {text}"
    word = "".join(chr(97 + letter) for letter in rng.integers(26, size=rng.integers(2, 7)))
    words = text.split()
    words.insert(int(rng.integers(len(words) + 1)), word)
    return " ".join(words)


class View(NamedTuple):
    """A scene as the model sees it.

    Attributes:
        scene: the picture, size x size, with boxes in its pixels.
        visible: for each object, the share of its box that is in the picture.
        shown: (x0, y0, x1, y1) the part of the picture that is no padding.
    """

    scene: Scene
    visible: tuple[float, ...]
    shown: tuple[float, float, float, float]


class Batch(NamedTuple):
    """B scenes, O objects on them and T questions about them, on a grid of N patches."""

    pixels: torch.Tensor  # (B, 3, size, size) uint8
    shown: torch.Tensor  # (B, N) bool, False where a patch is padding alone
    tokens: torch.Tensor  # (T, context) int64
    image: torch.Tensor  # (T,) int64, the scene a question is about
    asked: torch.Tensor  # (T, N) float32, how much of a patch asked-about boxes cover
    other: torch.Tensor  # (T, N) float32, likewise the other objects' boxes
    pairs: torch.Tensor  # (K, 2) int64, every question and object that it fits, in any scene
    object_image: torch.Tensor  # (O,) int64, the scene an object is on
    cover: torch.Tensor  # (O, N) float32, how much of a patch an object's box covers


def coverage(box: tuple[float, ...], size: int, grid: int) -> NDArray[np.float32]:
    """Share of each patch's area inside the box (pixels of a size x size image), (grid, grid)."""
    edges = np.arange(grid + 1) * (size / grid)

    def along(low: float, high: float) -> NDArray[np.float64]:
        inside = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        return np.clip(inside * grid / size, 0, 1)

    return np.outer(along(box[1], box[3]), along(box[0], box[2])).astype(np.float32)


def _move(thing: SceneObject, scale: tuple[float, float], shift: tuple[int, int]) -> SceneObject:
    x0, y0, x1, y1 = thing.box
    (sx, sy), (dx, dy) = scale, shift
    box = (round(x0 * sx) + dx, round(y0 * sy) + dy, round(x1 * sx) + dx, round(y1 * sy) + dy)
    return thing._replace(box=box)


def draw_view(rng: np.random.Generator, size: int) -> View:
    """A fresh scene as one of the fits shows it at size x size pixels; see SHARES."""
    mode = rng.choice(list(SHARES), p=list(SHARES.values()))
    everything = (0.0, 0.0, float(size), float(size))
    if mode == "square":
        large = rng.random() < 0.12  # now and then resized, as a real picture would be
        side = int(rng.integers(size, 3 * size)) if large else size
        scene = compose(rng, side, side)
    else:
        scene = compose(rng, *random_shape(rng, (1.15 * size) ** 2, square=False))
    width, height = scene.size
    picture = Image.fromarray(scene.image)
    shift = (0, 0)
    if mode == "pad":
        scale = (size / max(width, height),) * 2
        inner = (round(width * scale[0]), round(height * scale[1]))
        shift = ((size - inner[0]) // 2, (size - inner[1]) // 2)
        square = Image.new("RGB", (size, size), (FILL,) * 3)
        square.paste(picture.resize(inner, Image.Resampling.BICUBIC), shift)
        picture = square
        everything = (*map(float, shift), float(shift[0] + inner[0]), float(shift[1] + inner[1]))
    elif mode == "crop":
        scale = (size / min(width, height),) * 2
        inner = (round(width * scale[0]), round(height * scale[1]))
        shift = (-((inner[0] - size) // 2), -((inner[1] - size) // 2))
        picture = picture.resize(inner, Image.Resampling.BICUBIC)
        picture = picture.crop((-shift[0], -shift[1], size - shift[0], size - shift[1]))
    else:
        scale = (size / width, size / height)
        if (width, height) != (size, size):
            picture = picture.resize((size, size), Image.Resampling.BICUBIC)
    objects = tuple(_move(thing, scale, shift) for thing in scene.objects)
    visible = []
    for thing in objects:
        x0, y0, x1, y1 = np.clip(thing.box, 0, size)
        visible.append(float((x1 - x0) * (y1 - y0)) / thing.area)
    return View(Scene(np.asarray(picture), objects), tuple(visible), everything)


def make_batch(
    rng: np.random.Generator, tokenize: Tokenize, *, scenes: int, size: int, grid: int
) -> Batch:
    """Draw `scenes` views and ask one question about every group of like objects on them."""
    views = [draw_view(rng, size) for _ in range(scenes)]
    objects = [(b, thing) for b, view in enumerate(views) for thing in view.scene.objects]
    cover = np.stack([coverage(thing.box, size, grid).ravel() for _, thing in objects])
    shown = np.stack([coverage(view.shown, size, grid).ravel() > 0 for view in views])

    texts: list[str] = []
    named: list[tuple[str, str | None]] = []
    image, asked, other = [], [], []
    first = 0  # of the view's objects, among all
    for b, view in enumerate(views):
        count = len(view.scene.objects)
        everything = cover[first : first + count]
        for group in groups(view.scene):
            if min(view.visible[i] for i in group) < VISIBLE:
                continue
            kinds = kinds_for(view.scene, group)
            question = ask(rng, view.scene, group, kinds[rng.integers(len(kinds))])
            bare = rng.random() < PHRASE_SHARE
            text = phrase(rng, question.name, question.color) if bare else question.text
            texts.append(with_filler(rng, text) if rng.random() < FILLER_SHARE else text)
            named.append((question.name, question.color))
            image.append(b)
            inside = everything[list(group)].sum(axis=0).clip(0, 1)
            asked.append(inside)
            other.append((everything.sum(axis=0) - inside).clip(0, 1 - inside))
        first += count

    pairs = [
        (t, o)
        for t, (name, color) in enumerate(named)
        for o, (_, thing) in enumerate(objects)
        if matches(thing, name, color)
    ]
    pixels = np.stack([view.scene.image for view in views]).transpose(0, 3, 1, 2)
    return Batch(
        torch.from_numpy(np.ascontiguousarray(pixels)),
        torch.from_numpy(shown),
        tokenize(texts),
        torch.tensor(image),
        torch.from_numpy(np.stack(asked)),
        torch.from_numpy(np.stack(other)),
        torch.tensor(pairs),
        torch.tensor([b for b, _ in objects]),
        torch.from_numpy(cover),
    )


class Batches(IterableDataset[Batch]):
    """An endless stream of fresh batches from one seed, from batch number `start` on."""

    def __init__(
        self, tokenize: Tokenize, *, seed: int, start: int, scenes: int, size: int, grid: int
    ) -> None:
        self._tokenize = tokenize
        self._seed, self._start = seed, start
        self._shape = {"scenes": scenes, "size": size, "grid": grid}

    def __iter__(self) -> Iterator[Batch]:
        number = self._start
        while True:
            rng = np.random.default_rng((self._seed, number))
            yield make_batch(rng, self._tokenize, **self._shape)
            number += 1
