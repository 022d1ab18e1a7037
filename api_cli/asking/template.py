"""Prompts as small YAML files: what is put around a question, and which pictures go with it."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from api_cli.errors import UsageError
from api_cli.options.option import shipped_folder

MASKED, ORIGINAL = "masked", "original"
QUESTION, PROMPT, ANSWER = "question", "prompt", "answer"

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PLACEHOLDERS = (QUESTION, PROMPT, ANSWER)


class Template(NamedTuple):
    """A prompt with its blanks.

    Attributes:
        text: with {question}, {prompt} (what the dataset's evaluation appends), and in a second
            round {answer}.
        system: text before all.
        suffix: takes the place of the dataset's {prompt}; None leaves that.
        images: what is sent of a question, in order: `masked`, the picture that is asked about, and
            `original`.
    """

    text: str = "{question}{prompt}"
    system: str = ""
    suffix: str | None = None
    images: tuple[str, ...] = (MASKED,)

    @property
    def takes_answer(self) -> bool:
        """Whether it shows an answer of a first round."""
        return f"{{{ANSWER}}}" in self.text

    def fill(self, question: str, prompt: str, answer: str = "") -> str:
        """The text that is sent; braces of the question's own stay."""
        words = {QUESTION: question, PROMPT: self.suffix or "", ANSWER: answer}
        if self.suffix is None:
            words[PROMPT] = prompt
        return _PLACEHOLDER.sub(lambda blank: words.get(blank[1], blank[0]), self.text)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in ask.yaml."""
        return self._asdict() | {"images": list(self.images)}


def read_template(name: str) -> Template:
    """The prompt in a YAML file, or the shipped one of that name. Raises UsageError."""
    path = _find(name)
    place = f"--prompt {path}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{place}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{place}: expected keys and values: {', '.join(Template._fields)}")
    for key, value in content.items():
        if key not in Template._fields:
            raise UsageError(
                f"{place}: unknown key {key}{_near(str(key), Template._fields)}; "
                f"there are: {', '.join(Template._fields)}"
            )
        if key == "images":
            known = isinstance(value, list) and value and set(value) <= {MASKED, ORIGINAL}
            if not known:
                raise UsageError(f"{place}: images: expected a list of {MASKED} and {ORIGINAL}")
        elif not isinstance(value, str):
            raise UsageError(f"{place}: {key}: expected a text, got {value!r}")
    template = Template(**content | {"images": tuple(content.get("images", (MASKED,)))})
    for blank in _PLACEHOLDER.findall(template.text):
        if blank not in _PLACEHOLDERS and (near := _near(blank, _PLACEHOLDERS)):
            raise UsageError(f"{place}: text: nothing is known as {{{blank}}}{near}")
    return template


def shipped_prompts() -> list[Path]:
    """The prompts that come with the program."""
    return sorted((shipped_folder() / "prompts").glob("*.yaml"))


def _find(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    shipped = {path.stem: path for path in shipped_prompts()}
    try:
        return shipped[name.removesuffix(".yaml")]
    except KeyError:
        raise UsageError(
            f"--prompt {name}: neither a file nor one of the shipped prompts ({', '.join(shipped)})"
        ) from None


def _near(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]}?" if near else ""
