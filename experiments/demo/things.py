"""The everyday objects and named colours that demo scenes are made of."""

from __future__ import annotations

from typing import NamedTuple


class Thing(NamedTuple):
    """One class of object: its noun, its emoji, and whether it comes in named colours."""

    name: str
    emoji: str
    recolourable: bool = False
    plural_form: str = ""

    @property
    def plural(self) -> str:
        """The noun for two or more."""
        return self.plural_form or f"{self.name}s"


# Always drawn in one of COLOURS, so that "the red car" is never ambiguous.
_COLOURED = (
    Thing("car", "🚗", True),
    Thing("scooter", "🛵", True),
    Thing("balloon", "🎈", True),
    Thing("shirt", "👚", True),
    Thing("dress", "👗", True, "dresses"),
    Thing("cap", "🧢", True),
    Thing("shoe", "👟", True),
    Thing("scarf", "🧣", True, "scarves"),
    Thing("backpack", "🎒", True),
    Thing("handbag", "👜", True),
    Thing("umbrella", "🌂", True),
    Thing("heart", "❤️", True),
    Thing("book", "📕", True),
    Thing("sofa", "🛋️", True),
    Thing("tulip", "🌷", True),
    Thing("butterfly", "🦋", True, "butterflies"),
    Thing("bird", "🐦", True),
    Thing("fish", "🐟", True, "fish"),
    Thing("apple", "🍎", True),
    Thing("guitar", "🎸", True),
    Thing("teapot", "🫖", True),
    Thing("bell", "🔔", True),
    Thing("star", "⭐", True),
    Thing("key", "🔑", True),
    Thing("chair", "🪑", True),
    Thing("truck", "🛻", True),
)

_PLAIN = (
    Thing("dog", "🐕"),
    Thing("cat", "🐈"),
    Thing("horse", "🐎"),
    Thing("cow", "🐄"),
    Thing("pig", "🐖"),
    Thing("sheep", "🐑", plural_form="sheep"),
    Thing("elephant", "🐘"),
    Thing("tiger", "🐅"),
    Thing("monkey", "🐒"),
    Thing("rabbit", "🐇"),
    Thing("chick", "🐥"),
    Thing("rooster", "🐓"),
    Thing("penguin", "🐧"),
    Thing("owl", "🦉"),
    Thing("frog", "🐸"),
    Thing("turtle", "🐢"),
    Thing("whale", "🐳"),
    Thing("octopus", "🐙", plural_form="octopuses"),
    Thing("crab", "🦀"),
    Thing("snail", "🐌"),
    Thing("bee", "🐝"),
    Thing("ladybug", "🐞"),
    Thing("pizza", "🍕"),
    Thing("hamburger", "🍔"),
    Thing("hot dog", "🌭"),
    Thing("taco", "🌮"),
    Thing("cake", "🎂"),
    Thing("doughnut", "🍩"),
    Thing("cookie", "🍪"),
    Thing("ice cream", "🍦"),
    Thing("banana", "🍌"),
    Thing("lemon", "🍋"),
    Thing("strawberry", "🍓", plural_form="strawberries"),
    Thing("watermelon", "🍉"),
    Thing("pineapple", "🍍"),
    Thing("carrot", "🥕"),
    Thing("mushroom", "🍄"),
    Thing("broccoli", "🥦", plural_form="broccoli"),
    Thing("cheese", "🧀", plural_form="pieces of cheese"),
    Thing("egg", "🍳"),
    Thing("airplane", "✈️"),
    Thing("helicopter", "🚁"),
    Thing("boat", "⛵"),
    Thing("train", "🚂"),
    Thing("tractor", "🚜"),
    Thing("motorcycle", "🏍️"),
    Thing("bicycle", "🚲"),
    Thing("bus", "🚌", plural_form="buses"),
    Thing("rocket", "🚀"),
    Thing("tree", "🌳"),
    Thing("cactus", "🌵", plural_form="cactuses"),
    Thing("sunflower", "🌻"),
    Thing("house", "🏠"),
    Thing("tent", "⛺"),
    Thing("bed", "🛏️"),
    Thing("light bulb", "💡"),
    Thing("clock", "⏰"),
    Thing("camera", "📷"),
    Thing("laptop", "💻"),
    Thing("phone", "📱"),
    Thing("hammer", "🔨"),
    Thing("drum", "🥁"),
    Thing("trumpet", "🎺"),
    Thing("violin", "🎻"),
    Thing("football", "⚽"),
    Thing("basketball", "🏀"),
    Thing("trophy", "🏆", plural_form="trophies"),
    Thing("crown", "👑"),
    Thing("robot", "🤖"),
    Thing("snowman", "⛄", plural_form="snowmen"),
    Thing("anchor", "⚓"),
    Thing("gift", "🎁"),
    Thing("globe", "🌍"),
)

THINGS: tuple[Thing, ...] = _COLOURED + _PLAIN
THING_BY_NAME: dict[str, Thing] = {thing.name: thing for thing in THINGS}


class Tint(NamedTuple):
    """How a named colour is made from a glyph: hue in [0, 1), scales of saturation and value."""

    hue: float
    saturation: float
    low: float  # value of the glyph's darkest tinted pixel, in [0, 1]
    high: float  # value of its brightest


COLOURS: dict[str, Tint] = {
    "red": Tint(0.0, 0.95, 0.68, 0.95),
    "orange": Tint(0.078, 0.98, 0.82, 1.0),
    "yellow": Tint(0.148, 0.92, 0.80, 1.0),
    "green": Tint(0.37, 0.85, 0.46, 0.76),
    "blue": Tint(0.60, 0.88, 0.64, 0.97),
    "purple": Tint(0.775, 0.78, 0.52, 0.80),
    "pink": Tint(0.915, 0.46, 0.88, 1.0),
    "black": Tint(0.0, 0.0, 0.08, 0.27),
    "white": Tint(0.0, 0.0, 0.90, 1.0),
}
