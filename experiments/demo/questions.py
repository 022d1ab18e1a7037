"""Questions about demo scenes, with their answers and the objects they are about.

The asked-about object, whose box a good mask keeps, is the one that the question NAMES: the
dog in "what is left of the dog?". Where several objects answer to the name (two apples), all
of them are asked about, and a question's `box` is that of the largest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scenes import Box, Scene, SceneObject
from things import COLOURS, THING_BY_NAME, THINGS

Kind = Literal["colour", "place", "left", "right", "above", "below", "count", "presence"]
Split = Literal["train", "test"]

KINDS: tuple[Kind, ...] = (
    "colour",
    "place",
    "left",
    "right",
    "above",
    "below",
    "count",
    "presence",
)

# {x} is the noun ("dog", "red car"), {a} the noun with its article, {xs} its plural, {side} the
# relation in words. The templates under "test" are kept out of training.
_RELATION: dict[Split, tuple[str, ...]] = {
    "train": (
        "what is {side} the {x}?",
        "which object is {side} the {x}?",
        "what do you see {side} the {x}?",
        "name the object {side} the {x}.",
        "what can be found {side} the {x}?",
        "{side} the {x}, what is there?",
    ),
    "test": ("what thing is located {side} the {x}?", "tell me what is {side} the {x}."),
}
_TEMPLATES: dict[str, dict[Split, tuple[str, ...]]] = {
    "colour": {
        "train": (
            "what colour is the {x}?",
            "what color is the {x}?",
            "which colour does the {x} have?",
            "what is the color of the {x}?",
            "tell me the colour of the {x}.",
            "the {x} has which color?",
        ),
        "test": ("in what colour is the {x} painted?", "please name the color of the {x}."),
    },
    "place": {
        "train": (
            "where is the {x}?",
            "where in the image is the {x}?",
            "in which part of the picture is the {x}?",
            "where can i see the {x}?",
            "find the {x}.",
            "point at the {x}.",
        ),
        "test": ("where do you see the {x}?", "at what place is the {x}?", "show me the {x}."),
    },
    "count": {
        "train": (
            "how many {xs} are there?",
            "how many {xs} can you see?",
            "count the {xs}.",
            "what is the number of {xs}?",
        ),
        "test": ("how many {xs} does the image show?", "give the number of {xs} in the picture."),
    },
    "presence": {
        "train": (
            "is there {a}?",
            "is there {a} in the image?",
            "does the picture show {a}?",
            "can you see {a}?",
            "do you see {a} anywhere?",
        ),
        "test": ("is {a} present in the photo?", "does this image contain {a}?"),
    },
    "left": _RELATION,
    "right": _RELATION,
    "above": _RELATION,
    "below": _RELATION,
}
_SIDES: dict[str, tuple[str, ...]] = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
_PHRASES = ("{x}", "{x}?", "the {x}", "{a}", "a photo of {a}", "{xs}", "picture of the {xs}")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")

SAY_COLOUR = 0.35  # how often a colour is said that the question does not need
OTHER_COLOUR = 0.25  # how often an absent thing is a shown one in another colour


@dataclass(frozen=True)
class Question:
    """One question about a scene.

    Attributes:
        name, color: what the question names; `color` is None where it says none.
        asked: indices of the scene's objects that the name fits; empty for an absent thing.
        box: box of the largest of them, in pixels; None for an absent thing.
    """

    text: str
    answer: str
    kind: Kind
    name: str
    color: str | None
    asked: tuple[int, ...]
    box: Box | None


def matches(thing: SceneObject, name: str, color: str | None) -> bool:
    """Whether the object is what "{color} {name}" speaks of."""
    return thing.name == name and color in (None, thing.color)


def with_article(noun: str) -> str:
    """The noun after "a" or "an"."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def place_of(thing: SceneObject, size: tuple[int, int]) -> str:
    """Where the object's centre lies, by thirds of the image of `size` (width, height)."""
    across = ("left", "", "right")[min(2, int(3 * thing.centre[0] / size[0]))]
    down = ("top", "", "bottom")[min(2, int(3 * thing.centre[1] / size[1]))]
    return f"{down} {across}".strip() or "centre"


def neighbour(scene: Scene, index: int, side: str) -> SceneObject | None:
    """The one object that lies mainly on that side of object `index`; None for none or several."""
    x, y = scene.objects[index].centre
    found = []
    for other in scene.objects[:index] + scene.objects[index + 1 :]:
        dx, dy = other.centre[0] - x, other.centre[1] - y
        if abs(dx) > abs(dy):
            where = "right" if dx > 0 else "left"
        else:
            where = "below" if dy > 0 else "above"
        if where == side:
            found.append(other)
    return found[0] if len(found) == 1 else None


def groups(scene: Scene) -> list[tuple[int, ...]]:
    """Indices of objects that share a name and a colour, group by group, in order."""
    by_label: dict[str, list[int]] = {}
    for index, thing in enumerate(scene.objects):
        by_label.setdefault(thing.label, []).append(index)
    return [tuple(members) for members in by_label.values()]


def kinds_for(scene: Scene, group: tuple[int, ...]) -> list[Kind]:
    """The kinds of question that have one clear answer about this group of like objects."""
    kinds: list[Kind] = ["count", "presence"]
    if len(group) > 1:
        return kinds
    thing = scene.objects[group[0]]
    kinds.append("place")
    if thing.color and sum(other.name == thing.name for other in scene.objects) == 1:
        kinds.append("colour")
    sides: tuple[Kind, ...] = ("left", "right", "above", "below")
    kinds += [side for side in sides if neighbour(scene, group[0], side)]
    return kinds


def _words(
    rng: np.random.Generator, templates: Sequence[str], kind: str, name: str, color: str | None
) -> str:
    noun = f"{color} {name}" if color else name
    plural = THING_BY_NAME[name].plural
    sides = _SIDES.get(kind, ("",))
    return templates[rng.integers(len(templates))].format(
        x=noun,
        a=with_article(noun),
        xs=f"{color} {plural}" if color else plural,
        side=sides[rng.integers(len(sides))],
    )


def ask(
    rng: np.random.Generator,
    scene: Scene,
    group: tuple[int, ...],
    kind: Kind,
    split: Split = "train",
) -> Question:
    """A question of that kind (one of `kinds_for`) about that group of like objects.

    The colour is said where the name alone would fit other objects too, and now and then
    elsewhere; a colour question never says it.
    """
    thing = scene.objects[group[0]]
    alike = sum(other.name == thing.name for other in scene.objects)
    say = alike > len(group) or (kind != "colour" and rng.random() < SAY_COLOUR)
    color = thing.color if say else None
    if kind == "colour":
        answer = thing.color or ""
    elif kind == "place":
        answer = place_of(thing, scene.size)
    elif kind == "count":
        answer = _NUMBERS[len(group)]
    elif kind == "presence":
        answer = "yes"
    else:
        other = neighbour(scene, group[0], kind)
        answer = with_article(other.label) if other else ""
    text = _words(rng, _TEMPLATES[kind][split], kind, thing.name, color)
    largest = max((scene.objects[i] for i in group), key=lambda one: one.area)
    return Question(text, answer, kind, thing.name, color, group, largest.box)


def ask_absent(rng: np.random.Generator, scene: Scene, split: Split = "train") -> Question:
    """A presence question about something the scene does not show; the answer is no.

    Either a thing that is not there, or one that is, in a colour that it has not.
    """
    shown = {thing.name for thing in scene.objects}
    coloured = [thing.name for thing in scene.objects if thing.color]
    if coloured and rng.random() < OTHER_COLOUR:
        name = coloured[rng.integers(len(coloured))]
        known = {thing.color for thing in scene.objects if thing.name == name}
        say = True
    else:
        names = [thing.name for thing in THINGS if thing.name not in shown]
        name, known = names[rng.integers(len(names))], set()
        say = THING_BY_NAME[name].recolourable and rng.random() < SAY_COLOUR
    colours = [color for color in COLOURS if color not in known]
    color = colours[rng.integers(len(colours))] if say else None
    text = _words(rng, _TEMPLATES["presence"][split], "presence", name, color)
    return Question(text, "no", "presence", name, color, (), None)


def ask_any(
    rng: np.random.Generator,
    scene: Scene,
    kinds: Sequence[Kind] = KINDS,
    split: Split = "train",
) -> Question | None:
    """One question of the given kinds about a random object; None where none of them fits."""
    options = [
        (group, kind)
        for group in groups(scene)
        for kind in kinds_for(scene, group)
        if kind in kinds
    ]
    if not options:
        return None
    # Kind first, so that common kinds do not crowd out rare ones.
    present = sorted({kind for _, kind in options})
    wanted = present[rng.integers(len(present))]
    about = [group for group, kind in options if kind == wanted]
    return ask(rng, scene, about[rng.integers(len(about))], wanted, split)


def phrase(rng: np.random.Generator, name: str, color: str | None) -> str:
    """The noun alone or with little around it: "the red car", "a photo of a dog"."""
    return _words(rng, _PHRASES, "phrase", name, color)


def corpus() -> list[str]:
    """Every noun, colour and training template: text to learn a vocabulary from."""
    rng = np.random.default_rng(0)
    words = [thing.name for thing in THINGS] + [thing.plural for thing in THINGS]
    kinds = [(kind, template) for kind in KINDS for template in _TEMPLATES[kind]["train"]]
    kinds += [("phrase", template) for template in _PHRASES]
    filled = [
        _words(rng, [template], kind, thing.name, color)
        for thing in THINGS[::5]
        for kind, template in kinds
        for color in COLOURS
    ]
    # Words of the evaluation templates are in the vocabulary, though never trained on, so that a
    # question in unfamiliar phrasing stays short.
    unseen = [
        template.format(x="", a="", xs="", side="")
        for by_split in _TEMPLATES.values()
        for template in by_split["test"]
    ]
    return filled + 50 * (words + unseen + [" ".join(COLOURS), " ".join(_NUMBERS)])
