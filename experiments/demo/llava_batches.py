"""Training batches for the demo LLaVA: scenes, what is on them, and questions with answers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from clip_batches import FILL, FILLER_SHARE, coverage, with_filler
from crowds import CROWDED, MID, compose_level, crop, speckle, squeezed
from fading import conceal, draw_fading, draw_mask, visible
from llava_model import END, GRID, PAD, PROMPT, SIZE
from numpy.typing import NDArray
from PIL import Image
from questions import KINDS, Kind, Question, ask_absent, ask_any, groups, neighbour, place_of
from scenes import Scene, compose, random_shape
from things import COLOURS, THINGS
from torch.utils.data import IterableDataset, get_worker_info
from transformers import LlavaProcessor

from api_cli.relevance.fit import pad_to_square

SQUARE = 2 / 3  # of the scenes; the rest are padded to a square
LARGE = 0.3  # of the scenes are drawn larger and resized, as real pictures would be
LONGEST = 18  # tokens of a question and its answer with a filler; batches are padded
ABSENT = 0.5  # of the presence questions
SIDES: tuple[Kind, ...] = ("left", "right", "above", "below")
SHARES: Mapping[Kind, float] = {
    "colour": 0.2,
    "place": 0.25,
    "presence": 0.18,
    "left": 0.07,
    "right": 0.07,
    "above": 0.07,
    "below": 0.07,
    "count": 0.09,
}
PLACES: tuple[str, ...] = ("top left", "top", "top right", "left", "centre", "right")
PLACES += ("bottom left", "bottom", "bottom right")
NOUNS = {thing.name: i for i, thing in enumerate(THINGS)}
COLOUR_IDS: dict[str | None, int] = {color: i for i, color in enumerate(COLOURS)}
NO_NOUN, NO_COLOUR = len(NOUNS), len(COLOUR_IDS)
MOST = 4  # counts above it are the same class


class View(NamedTuple):
    """A scene as the model sees it.

    Attributes:
        picture: (SIZE, SIZE, 3) uint8, the scene padded to a square and resized.
        scene: the scene itself, which questions are about.
        cover: (O, N) float32, how much of each patch each object's box covers.
        seen: (N,) float32 in [0, 1], how well each patch can be seen.
    """

    picture: NDArray[np.uint8]
    scene: Scene
    cover: NDArray[np.float32]
    seen: NDArray[np.float32]


class Batch(NamedTuple):
    """B scenes of O objects in all on a grid of N patches, with Q questions each of T tokens.

    Classes: nouns and colours as numbered above, `NO_NOUN` and `NO_COLOUR` for none.
    """

    pixels: torch.Tensor  # (B, 3, SIZE, SIZE) uint8
    ground: torch.Tensor  # (B, N) float32, how much of a patch no object's box covers
    owner: torch.Tensor  # (K, 3) int64: scene, patch and object, of patches on objects
    weight: torch.Tensor  # (K,) float32, how much of that patch the object covers
    noun: torch.Tensor  # (O,) int64
    colour: torch.Tensor  # (O,) int64
    place: torch.Tensor  # (O,) int64, of PLACES
    centre: torch.Tensor  # (O, 2) float32, x and y in [-1, 1] across the scene without padding
    alike: torch.Tensor  # (O,) int64, like objects in the scene, less one
    beside: torch.Tensor  # (O, 4, 2) int64, noun and colour of the one object on each of SIDES
    kind: torch.Tensor  # (B, Q) int64, of KINDS
    ids: torch.Tensor  # (B, Q, T) int64, what follows the image: question, answer, padding
    answers: torch.Tensor  # (B, Q, T) bool, where the next token is to be predicted
    asked: torch.Tensor  # (B, Q, N) float32, coverage by asked objects; 0 for absent things
    told: torch.Tensor  # (B, Q, N) float32, likewise by the object that the answer names

    def to(self, device: torch.device) -> Batch:
        """The same on that device."""
        return Batch(*(part.to(device) for part in self))


def draw_view(rng: np.random.Generator) -> View:
    """A fresh scene as the program shows it to a LLaVA."""
    length = rng.uniform(SIZE, 3 * SIZE) if rng.random() < LARGE else SIZE
    square = bool(rng.random() < SQUARE)
    return _view(compose(rng, *random_shape(rng, length**2, square=square)))


def draw_hard_view(rng: np.random.Generator, *, harder: float, faded: float) -> View:
    """A scene of `draw_view`, or with the chance of `harder` a harder one; then faded or not.

    Among the harder ones are crops of larger scenes, which show things larger than usual. `faded`
    is the chance that random parts are concealed; what is asked later does not depend on them.
    """
    if rng.random() < harder:
        level = (MID, CROWDED)[int(rng.random() < 0.55)]
        zoom = rng.uniform(1.2, 2.6) if rng.random() < 0.3 else 1.0
        square = bool(rng.random() < SQUARE)
        scene = compose_level(rng, *random_shape(rng, (zoom * SIZE) ** 2, square=square), level)
        if zoom > 1:
            scene = crop(rng, scene, 1 / zoom) or scene
        image = scene.image
        if rng.random() < 0.3:
            image = speckle(rng, image, 60)
        if rng.random() < 0.3:
            image = squeezed(rng, image)
        view = _view(Scene(image, scene.objects))
    else:
        view = draw_view(rng)
    if rng.random() >= faded:
        return view
    mask, fading = draw_mask(rng, SIZE), draw_fading(rng)
    mask = np.where(_shown(view.scene), mask, 1)  # pictures are masked before they are padded
    picture = conceal(view.picture, mask, fading)
    return view._replace(picture=picture, seen=visible(mask, fading, GRID))


def _shown(scene: Scene) -> NDArray[np.bool_]:
    """Where the model's square shows the scene and no padding, (SIZE, SIZE)."""
    inside = np.zeros((SIZE, SIZE), dtype=bool)
    width, height = (round(SIZE * side / max(scene.size)) for side in scene.size)
    left, top = (SIZE - width) // 2, (SIZE - height) // 2
    inside[top : top + height, left : left + width] = True
    return inside


def _view(scene: Scene) -> View:
    padded = pad_to_square(Image.fromarray(scene.image), (FILL,) * 3)
    dx, dy = ((padded.width - side) // 2 for side in scene.size)
    scale = SIZE / padded.width
    if padded.width != SIZE:
        padded = padded.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    boxes = [
        ((x0 + dx) * scale, (y0 + dy) * scale, (x1 + dx) * scale, (y1 + dy) * scale)
        for x0, y0, x1, y1 in (thing.box for thing in scene.objects)
    ]
    cover = np.stack([coverage(box, SIZE, GRID).ravel() for box in boxes])
    return View(np.asarray(padded), scene, cover, np.ones(GRID * GRID, np.float32))


class Phrasebook:
    """Token ids of prompts and answers, exactly as the processor makes them.

    Attributes:
        prefix: ids from the first to the last image token, the same for every question.
        pad: id of the padding token.
    """

    def __init__(self, processor: LlavaProcessor) -> None:
        self._tokenizer: Any = processor.tokenizer
        self._tail = PROMPT.split("<image>")[1]
        self.pad: int = self._tokenizer.convert_tokens_to_ids(PAD)
        self._end: int = self._tokenizer.convert_tokens_to_ids(END)
        blank = Image.new("RGB", (SIZE, SIZE))

        def whole(question: str) -> list[int]:
            ids = processor(images=blank, text=PROMPT.format(question=question))["input_ids"]
            return [int(i) for i in ids[0]]

        ids = whole("what is it?")
        last = len(ids) - 1 - ids[::-1].index(processor.image_token_id)
        self.prefix = ids[: last + 1]
        for question in ("Where is the dog?", "over the ice cream, what is there?"):
            if whole(question) != self.prefix + self.prompt(question):
                raise ValueError(f"the processor splits {question!r} otherwise")

    def prompt(self, question: str) -> list[int]:
        """Ids of the prompt after its image."""
        text = self._tail.format(question=question)
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def answer(self, answer: str) -> list[int]:
        """Ids that are to be generated for the answer."""
        ids = self._tokenizer(f" {answer}", add_special_tokens=False)["input_ids"]
        return [*ids, self._end]


def _questions(rng: np.random.Generator, scene: Scene, count: int) -> Iterator[Question]:
    kinds, chances = list(SHARES), np.array(list(SHARES.values()))
    while count:
        kind = kinds[rng.choice(len(kinds), p=chances / chances.sum())]
        absent = kind == "presence" and rng.random() < ABSENT
        question = ask_absent(rng, scene) if absent else ask_any(rng, scene, [kind])
        if question is not None:
            count -= 1
            yield question


def _told(scene: Scene, question: Question) -> tuple[int, ...]:
    """The objects that the answer is read from."""
    if question.kind not in SIDES:
        return question.asked
    other = neighbour(scene, question.asked[0], question.kind)
    return tuple(i for i, thing in enumerate(scene.objects) if thing is other)


def _describe(scene: Scene, index: int) -> list[Any]:
    """Targets for object `index`, in the order of `Batch` from noun to beside."""
    thing = scene.objects[index]
    alike = next(len(group) for group in groups(scene) if index in group)
    beside = []
    for side in SIDES:
        other = neighbour(scene, index, side)
        noun = NOUNS[other.name] if other else NO_NOUN
        beside.append((noun, COLOUR_IDS.get(other.color, NO_COLOUR) if other else NO_COLOUR))
    (x, y), (width, height) = thing.centre, scene.size
    return [
        NOUNS[thing.name],
        COLOUR_IDS.get(thing.color, NO_COLOUR),
        PLACES.index(place_of(thing, scene.size)),
        (2 * x / width - 1, 2 * y / height - 1),
        min(alike, MOST) - 1,
        beside,
    ]


def make_batch(
    rng: np.random.Generator,
    phrases: Phrasebook,
    *,
    scenes: int,
    questions: int,
    harder: float = 0,
    faded: float = 0,
) -> Batch:
    """Draw `scenes` views with `questions` questions each; see `draw_hard_view`."""
    draw: Callable[[np.random.Generator], View] = draw_view
    if harder or faded:
        draw = partial(draw_hard_view, harder=harder, faded=faded)
    views = [draw(rng) for _ in range(scenes)]
    owner: list[tuple[int, int, int]] = []
    weight, ground = [], []
    described: list[list[Any]] = []
    rows: list[tuple[list[int], int]] = []
    kinds: list[int] = []
    asked: list[NDArray[np.float32]] = []
    told: list[NDArray[np.float32]] = []
    for b, view in enumerate(views):
        cover = view.cover * view.seen  # nothing is to be learnt from where nothing shows
        best = cover.argmax(axis=0)
        most = cover.max(axis=0)
        (patches,) = np.nonzero(most > 0)
        first = len(described)
        owner += [(b, patch, first + best[patch]) for patch in patches]
        weight.append(most[patches])
        ground.append((1 - view.cover.sum(axis=0)).clip(0, 1))
        described += [_describe(view.scene, i) for i in range(len(view.scene.objects))]
        for question in _questions(rng, view.scene, questions):
            prompt, answer = phrases.prompt(question.text), phrases.answer(question.answer)
            if rng.random() < FILLER_SHARE:
                filled = phrases.prompt(with_filler(rng, question.text))
                prompt = filled if len(filled) + len(answer) <= LONGEST else prompt
            rows.append((prompt + answer, len(answer)))
            kinds.append(KINDS.index(question.kind))
            for targets, members in (
                (asked, question.asked),
                (told, _told(view.scene, question)),
            ):
                targets.append(cover[list(members)].sum(axis=0).clip(0, 1))

    length = max((len(ids) for ids, _ in rows), default=1)
    ids = torch.full((len(rows), length), phrases.pad)
    answers = torch.zeros(len(rows), length, dtype=torch.bool)
    for r, (row, generated) in enumerate(rows):
        ids[r, : len(row)] = torch.tensor(row)
        answers[r, len(row) - generated - 1 : len(row) - 1] = True
    noun, colour, place, centre, alike, beside = (
        torch.tensor(column) for column in zip(*described, strict=True)
    )
    shape = (scenes, questions)
    pixels = np.stack([view.picture for view in views]).transpose(0, 3, 1, 2)
    return Batch(
        torch.from_numpy(np.ascontiguousarray(pixels)),
        torch.from_numpy(np.stack(ground)),
        torch.tensor(np.array(owner)),
        torch.from_numpy(np.concatenate(weight)),
        noun,
        colour,
        place,
        centre,
        alike,
        beside,
        torch.tensor(kinds, dtype=torch.int64).view(shape),
        ids.view(*shape, length),
        answers.view(*shape, length),
        torch.from_numpy(np.array(asked, dtype=np.float32)).view(*shape, GRID * GRID),
        torch.from_numpy(np.array(told, dtype=np.float32)).view(*shape, GRID * GRID),
    )


class Batches(IterableDataset[Batch]):
    """An endless stream of fresh batches from one seed, from batch number `start` on.

    `draw` is what `make_batch` takes by name. The batches are the same, in the same order, however
    many workers a loader has.
    """

    def __init__(self, phrases: Phrasebook, *, seed: int, start: int, **draw: Any) -> None:
        self._phrases, self._seed, self._start, self._draw = phrases, seed, start, draw

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for number in itertools.count(self._start + first, step):
            rng = np.random.default_rng((self._seed, number))
            yield make_batch(rng, self._phrases, **self._draw)
