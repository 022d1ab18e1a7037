"""Options: what a configuration's field is beside a value, and where values come from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from api_cli.errors import UsageError
from api_cli.options import parsers
from api_cli.options.parsers import Parse


def plain(value: Any) -> Any:
    """A field's value in YAML's own types; one value of several possible stands alone."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        items = [plain(item) for item in value]
        return items[0] if len(items) == 1 else items
    return value


class Option(NamedTuple):
    """What a field is beside a value.

    Attributes:
        parse: text of a flag or variable, or an object of YAML, to the field's value; raises
            ValueError saying what it expected.
        help: for `--help`.
        metavar: how `--help` shows the value; empty for a switch.
        default: how `--help` shows the default.
        panel: heading under which `--help` shows it.
    """

    parse: Parse
    help: str
    metavar: str
    default: str
    panel: str


def option(
    panel: str, default: Any, parse: Parse, metavar: str, help: str, shown: str | None = None
) -> Any:
    """A dataclass field that is also a flag."""
    if shown is None:
        shown = "" if parse is parsers.switch else str(plain(default))
    return field(default=default, metadata={"option": Option(parse, help, metavar, shown, panel)})


def find_config(name: str, fitting: Sequence[Path]) -> Path:
    """The file of that name, or the shipped configuration of that name.

    Args:
        name: of either.
        fitting: the shipped ones to name where there is neither.

    Raises:
        UsageError: where there is neither.
    """
    if Path(name).is_file():
        return Path(name)
    for path in shipped_configs():
        if path.stem == name.removesuffix(".yaml"):
            return path
    names = ", ".join(path.stem for path in fitting)
    those = f" nor one of the shipped configurations ({names})" if names else ""
    raise UsageError(f"--config {name}: {'neither a' if names else 'no'} file{those}")


def shipped_configs() -> list[Path]:
    """The configurations that come with the program."""
    return sorted(shipped_folder().glob("*.yaml"))


def shipped_folder() -> Path:
    """Where the YAML files are that come with the program: in the wheel, or beside a checkout."""
    package = Path(__file__).parents[1]
    folder = package / "configs"
    return folder if folder.is_dir() else package.parent / "configs"


def read_yaml(path: Path) -> dict[str, Any]:
    """Keys and values of a configuration, or of a run folder's run.yaml. Raises UsageError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:  # YAML's constructors raise whatever their values do
        reason = " ".join(str(error).split())
        raise UsageError(f"--config {path}: cannot be read as YAML: {reason}") from error
    if content is None:
        return {}
    if isinstance(content, dict) and "settings" in content and "config" in content:
        content = content["config"]  # a run folder's run.yaml
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: expected keys and values, got {content!r:.80}")
    return {str(key): value for key, value in content.items()}


def parse_all(
    options: Mapping[str, Option], raw: Mapping[str, Any], place: Callable[[str], str]
) -> dict[str, Any]:
    """Validate raw values by field; None counts as not given."""
    values = {}
    for name, value in raw.items():
        if name not in options:
            raise UsageError(f"{place(name)}: unknown key{_nearest(name, options)}")
        if value is None:
            continue
        try:
            values[name] = options[name].parse(value)
        except ValueError as error:
            raise UsageError(f"{place(name)}: {error}; got {value!r}") from None
    return values


def _nearest(name: str, options: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.replace("-", "_"), list(options), n=1)
    return f"; did you mean {near[0]}?" if near else f" (known: {', '.join(options)})"
