"""From the text of a flag or variable, or an object of YAML, to a value.

Each function here takes either and raises ValueError saying what it expected.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api_cli.options.prompt import check_template, without_image_mark
from datasets_manager import DatasetError, canonical_name

Parse = Callable[[Any], Any]


def text(raw: Any) -> str:
    """Any text, or a number taken as one."""
    if not isinstance(raw, str | int | float) or isinstance(raw, bool) or raw == "":
        raise ValueError("expected a text")
    return str(raw)


def question(raw: Any) -> str:
    """A text that asks something."""
    asked = text(raw)
    if not without_image_mark(asked).strip():
        raise ValueError("expected a text that is not blank")
    return asked


def integer(low: int, high: int | None = None) -> Parse:
    """A whole number within bounds."""
    expected = (
        f"expected a whole number of {low} or more"
        if high is None
        else (f"expected a whole number from {low} to {high}")
    )

    def parse(raw: Any) -> int:
        if isinstance(raw, str):
            try:
                raw = int(raw)
            except ValueError:
                raise ValueError(expected) from None
        if type(raw) is not int or raw < low or (high is not None and raw > high):
            raise ValueError(expected)
        return raw

    return parse


def any_integer(raw: Any) -> int:
    """A whole number."""
    try:
        return int(integer(-(10**9))(raw))
    except ValueError:
        raise ValueError("expected a whole number") from None


def odd_integer(raw: Any) -> int:
    """An odd whole number of 1 or more."""
    try:
        value = int(integer(1)(raw))
    except ValueError:
        value = 0
    if value % 2 == 0:
        raise ValueError("expected an odd whole number of 1 or more")
    return value


def number(raw: Any) -> int | float:
    """A finite number; whole ones as int, so that 5.0 and 5 name the same folder."""
    try:
        value = float(raw) if not isinstance(raw, bool) else float("nan")
    except (TypeError, ValueError):
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ValueError("expected a number")
    return int(value) if value.is_integer() else value


def positive(raw: Any) -> int | float:
    """A number above zero."""
    try:
        value = number(raw)
    except ValueError:
        value = 0
    if value <= 0:
        raise ValueError("expected a number above zero")
    return value


def one_of(*names: str) -> Parse:
    """One of these names, whatever its case; gives it in the case here."""

    def parse(raw: Any) -> str:
        for name in names:
            if str(raw).casefold() == name.casefold():
                return name
        near = difflib.get_close_matches(str(raw).casefold(), [n.casefold() for n in names], n=1)
        hint = f"; did you mean {one_of(*names)(near[0])}?" if near else ""
        expected = " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        raise ValueError(f"expected {expected}{hint}")

    return parse


def several(parse_one: Parse) -> Parse:
    """One or more values: a list, or a text with commas. Repeated ones count once."""

    def parse(raw: Any) -> tuple[Any, ...]:
        if isinstance(raw, str):
            raw = [part.strip() for part in raw.split(",")]
        values = tuple(map(parse_one, raw if isinstance(raw, list | tuple) else [raw]))
        if not values:
            raise ValueError("expected at least one value")
        return tuple(dict.fromkeys(values))

    return parse


def at_least(low: float) -> Parse:
    """A number of `low` or more."""

    def parse(raw: Any) -> int | float:
        try:
            value = number(raw)
        except ValueError:
            value = low - 1
        if value < low:
            raise ValueError(f"expected a number of {low} or more")
        return value

    return parse


def fraction(raw: Any) -> int | float:
    """A number from 0 to 1."""
    try:
        value = number(raw)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise ValueError("expected a number from 0 to 1")
    return value


def smoothing(raw: Any) -> str:
    """The word mean, or gaussian:S with S above zero."""
    name, _, spread = str(raw).partition(":")
    try:
        return "mean" if raw == "mean" else f"{one_of('gaussian')(name)}:{positive(spread)}"
    except ValueError:
        raise ValueError("expected mean, or gaussian:S with S above zero") from None


def keep(raw: Any) -> str:
    """The word none, or SHARE or SHARE:REGIONS."""
    if raw == "none":
        return "none"
    share, colon, regions = str(raw).partition(":")
    try:
        found = f"{fraction(positive(share))}"
        return f"{found}:{integer(1)(regions)}" if colon else found
    except ValueError:
        raise ValueError(
            "expected SHARE or SHARE:REGIONS, such as 0.4:2, with 0 < SHARE <= 1, or none"
        ) from None


def mean_of_layers(raw: Any) -> int | str:
    """A layer, or several whose maps are averaged, as in 14+15+17."""
    parts = raw.split("+") if isinstance(raw, str) else [raw]
    try:
        layers = [any_integer(part) for part in parts]
    except ValueError:
        raise ValueError("expected a whole number, or several as in 14+15+17") from None
    return layers[0] if len(layers) == 1 else "+".join(map(str, layers))


def word_or(word: str, parse_one: Parse) -> Parse:
    """That word, or a value."""

    def parse(raw: Any) -> Any:
        if raw == word:
            return raw
        try:
            return parse_one(raw)
        except ValueError as error:
            raise ValueError(f"{error}, or {word}") from None

    return parse


def none_or(parse_one: Parse) -> Parse:
    """The word none, or a value."""
    return word_or("none", parse_one)


def auto_or(parse_one: Parse) -> Parse:
    """The word auto, or a value."""
    return word_or("auto", parse_one)


def switch(raw: Any) -> bool:
    """True or false."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return known[str(raw).casefold()]
    except KeyError:
        raise ValueError("expected true or false") from None


def sample_range(raw: Any) -> tuple[int, int]:
    """START and STOP of samples: two numbers, or a text of them."""
    parts = raw.replace(",", " ").split() if isinstance(raw, str) else raw
    try:
        start, stop = map(integer(0), parts)
    except (TypeError, ValueError):
        start, stop = 1, 0
    if start > stop:
        raise ValueError("expected START STOP, two whole numbers with 0 <= START <= STOP")
    return start, stop


def shard(raw: Any) -> tuple[int, int]:
    """Index and number of a shard, from I/N."""
    try:
        index, number = map(int, str(raw).split("/"))
    except ValueError:
        index, number = 0, 0
    if not 0 <= index < number:
        raise ValueError("expected I/N with 0 <= I < N: the shards of 3 are 0/3, 1/3 and 2/3")
    return index, number


def json_object(raw: Any) -> dict[str, Any]:
    """Names and values: an object of JSON as text, or of YAML."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except ValueError:
            raw = None
    if not isinstance(raw, dict):
        raise ValueError("expected an object of JSON, as in '{\"top_k\": 1}'")
    return {str(name): value for name, value in raw.items()}


def dataset(raw: Any) -> str:
    """A dataset's name in its canonical spelling."""
    try:
        return canonical_name(text(raw))
    except DatasetError as error:
        raise ValueError(str(error)) from None


def prompt_template(raw: Any) -> str:
    """A prompt with `<image>` and `{question}` in it; a written-out backslash n is a new line."""
    return check_template(text(raw).replace("\\n", "\n"))


def path(raw: Any) -> Path:
    """A path, the home folder spelt out."""
    return Path(text(raw)).expanduser()


layers = several(mean_of_layers)
batch_size = auto_or(integer(1))
