"""Configurations: one frozen dataclass a command; flags > environment > YAML > defaults.

A field here is at once a flag (`layer_index`: `--layer-index` or `--layer_index`), a variable
(`APIPROMPT_LAYER_INDEX`), a YAML key and, validated, an attribute. `cli.py` makes its flags from
these fields, so each is described once.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml

from api_cli.errors import UsageError
from datasets_manager import DatasetError, DatasetOptions, canonical_name

ENVIRONMENT_PREFIX = "APIPROMPT_"
DATA, MODEL, MASK, OUTPUT, RUN = "Data", "Model", "Mask", "Output", "Run"

C = TypeVar("C", bound="RunConfig")
Parse = Callable[[Any], Any]


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
        shown = "" if parse is _switch else str(plain(default))
    return field(default=default, metadata={"option": Option(parse, help, metavar, shown, panel)})


def _text(raw: Any) -> str:
    if not isinstance(raw, str | int | float) or isinstance(raw, bool) or raw == "":
        raise ValueError("expected a text")
    return str(raw)


def _integer(low: int, high: int | None = None) -> Parse:
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


def _any_integer(raw: Any) -> int:
    try:
        return int(_integer(-(10**9))(raw))
    except ValueError:
        raise ValueError("expected a whole number") from None


def _odd_integer(raw: Any) -> int:
    try:
        value = int(_integer(1)(raw))
    except ValueError:
        value = 0
    if value % 2 == 0:
        raise ValueError("expected an odd whole number of 1 or more")
    return value


def _number(raw: Any) -> int | float:
    """A finite number; whole ones as int, so that 5.0 and 5 name the same folder."""
    try:
        value = float(raw) if not isinstance(raw, bool) else float("nan")
    except (TypeError, ValueError):
        value = float("nan")
    if not abs(value) < float("inf"):
        raise ValueError("expected a number")
    return int(value) if value.is_integer() else value


def _one_of(*names: str) -> Parse:
    def parse(raw: Any) -> str:
        for name in names:
            if str(raw).casefold() == name.casefold():
                return name
        near = difflib.get_close_matches(str(raw).casefold(), [n.casefold() for n in names], n=1)
        hint = f"; did you mean {_one_of(*names)(near[0])}?" if near else ""
        raise ValueError(f"expected {', '.join(names[:-1])} or {names[-1]}{hint}")

    return parse


def _several(parse_one: Parse) -> Parse:
    def parse(raw: Any) -> tuple[Any, ...]:
        if isinstance(raw, str):
            raw = [part.strip() for part in raw.split(",")]
        values = tuple(map(parse_one, raw if isinstance(raw, list | tuple) else [raw]))
        if not values:
            raise ValueError("expected at least one value")
        return tuple(dict.fromkeys(values))

    return parse


def _auto_or(parse_one: Parse) -> Parse:
    def parse(raw: Any) -> Any:
        if raw == "auto":
            return raw
        try:
            return parse_one(raw)
        except ValueError as error:
            raise ValueError(f"{error}, or auto") from None

    return parse


def _switch(raw: Any) -> bool:
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return known[str(raw).casefold()]
    except KeyError:
        raise ValueError("expected true or false") from None


def _range(raw: Any) -> tuple[int, int]:
    parts = raw.replace(",", " ").split() if isinstance(raw, str) else raw
    try:
        start, stop = map(_integer(0), parts)
    except (TypeError, ValueError):
        start, stop = 1, 0
    if start > stop:
        raise ValueError("expected START STOP, two whole numbers with 0 <= START <= STOP")
    return start, stop


def _shard(raw: Any) -> tuple[int, int]:
    try:
        index, number = map(int, str(raw).split("/"))
    except ValueError:
        index, number = 0, 0
    if not 0 <= index < number:
        raise ValueError("expected I/N with 0 <= I < N: the shards of 3 are 0/3, 1/3 and 2/3")
    return index, number


def _dataset(raw: Any) -> str:
    try:
        return canonical_name(_text(raw))
    except DatasetError as error:
        raise ValueError(str(error)) from None


def _path(raw: Any) -> Path:
    return Path(_text(raw)).expanduser()


@dataclass(frozen=True)
class RunConfig:
    """What every command can be told. Fields with several values make every combination."""

    dataset: str = option(
        DATA, "demo", _dataset, "NAME", "Dataset to mask; `apiprompt datasets` lists the names."
    )
    range: tuple[int, int] | None = option(
        DATA,
        None,
        _range,
        "START STOP",
        "Samples START (counted from 0) to STOP (not included), cut at the dataset's end.",
        "whole set",
    )
    data_root: Path = option(
        DATA,
        Path("dataset"),
        _path,
        "DIR",
        "Folder that holds the datasets' files; for imagefolder, the folder itself.",
    )
    source: str = option(
        DATA,
        "auto",
        _one_of("auto", "disk", "hub"),
        "NAME",
        "Where the dataset is read from: disk, hub, or auto (the hub where the disk has none).",
    )
    hub_id: str | None = option(
        DATA,
        None,
        _text,
        "OWNER/NAME",
        "The dataset's repository on the hub, or a folder that holds a copy of one.",
        "the usual one",
    )
    revision: str | None = option(
        DATA, None, _text, "NAME", "Branch, tag or commit of that repository.", "main"
    )
    split: str | None = option(
        DATA,
        None,
        _text,
        "NAME",
        "Part of the dataset: MMMU's dev or test, POPE's random, popular or adversarial, ...",
        "the usual one, for POPE all",
    )
    images: str = option(
        DATA,
        "all",
        _one_of("all", "first"),
        "NAME",
        "Of a question about several images: mask all, or the first one alone.",
    )
    question: str | None = option(
        DATA,
        None,
        _text,
        "TEXT",
        "Asked about every image of an imagefolder.",
        "each image's own",
    )
    image_column: str | None = option(
        DATA, None, _text, "NAME", "Column of the picture.", "imagefolder's is file_name"
    )
    question_column: str | None = option(
        DATA, None, _text, "NAME", "Column of the question.", "question"
    )
    key_column: str | None = option(DATA, None, _text, "NAME", "Column of the key.", "key")
    model_name: str | None = option(
        MODEL,
        None,
        _text,
        "NAME",
        "open_clip architecture, hf-hub:OWNER/NAME, folder with open_clip_config.json, or demo.",
        "demo on the demo set, else ViT-L-14-336",
    )
    layer_index: tuple[int, ...] = option(
        MODEL,
        (-2,),
        _several(_any_integer),
        "L,...",
        "Block that is read, from 0; negative counts from the end.",
    )
    batch_size: int | str = option(
        MODEL,
        8,
        _auto_or(_integer(1)),
        "N",
        "Images a forward pass, or auto; halved where memory does not do.",
    )
    enhance_coe: tuple[float, ...] = option(
        MASK, (5,), _several(_number), "X,...", "Contrast of the mask."
    )
    kernel_size: tuple[int, ...] = option(
        MASK,
        (3,),
        _several(_odd_integer),
        "K,...",
        "Smoothness of the mask: odd width of the mean filter, in patches.",
    )
    interpolate_method_name: tuple[str, ...] = option(
        MASK,
        ("LANCZOS",),
        _several(_one_of("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")),
        "NAME,...",
        "Pillow's filter for resizing the mask: NEAREST, BOX, BILINEAR, HAMMING, BICUBIC, LANCZOS.",
    )
    grayscale: tuple[int, ...] = option(
        MASK,
        (0,),
        _several(_integer(0, 255)),
        "0..255,...",
        "Grey level that irrelevant parts fade to: 0 black, 255 white.",
    )
    fit: str = option(
        MODEL,
        "paper",
        _one_of("paper", "squash", "pad"),
        "NAME",
        "How a rectangle meets the model's square: paper (centre crop, as published), squash or "
        "pad (both exact).",
    )
    device: str = option(MODEL, "auto", _text, "NAME", "auto, cpu, cuda, cuda:1, mps, ...")
    precision: str = option(
        MODEL,
        "fp32",
        _one_of("fp32", "bf16", "fp16"),
        "NAME",
        "Of the model's forward pass: fp32, bf16 or fp16.",
    )
    output_folder: Path = option(
        OUTPUT, Path("experiments"), _path, "DIR", "Folder in which run folders are made."
    )
    format: str = option(
        OUTPUT, "jpg", _one_of("jpg", "png", "webp"), "NAME", "Of the pictures: jpg, png or webp."
    )
    quality: int = option(OUTPUT, 95, _integer(1, 100), "1..100", "Of jpg and webp.")
    overwrite: bool = option(
        OUTPUT, False, _switch, "", "Delete what the run folders hold and start afresh."
    )
    map_store: bool = option(
        OUTPUT,
        True,
        _switch,
        "",
        "Keep relevance maps beside the run folders, so that runs with other mask parameters need "
        "no model.",
    )
    save_maps: bool = option(
        OUTPUT,
        False,
        _switch,
        "",
        "Write each relevance map beside the masked image, as .npy and as a heat-map picture.",
    )
    shard: tuple[int, int] = option(
        RUN, (0, 1), _shard, "I/N", "Do every N-th sample from the I-th on, for job arrays.", "0/1"
    )
    num_workers: int | str = option(
        RUN, "auto", _auto_or(_integer(1)), "N", "Threads that read, blend and write."
    )
    dry_run: bool = option(RUN, False, _switch, "", "Say what would be done, and do nothing.")
    quiet: bool = option(RUN, False, _switch, "", "Errors only.")

    @classmethod
    def resolve(
        cls: type[C],
        flags: Mapping[str, Any],
        environment: Mapping[str, str],
        config_file: str | None = None,
    ) -> C:
        """Put a configuration together.

        Args:
            flags: field name to value, as given on the command line; None is not given.
            environment: variables; those named APIPROMPT_<FIELD> count.
            config_file: YAML file, or name of a shipped configuration.

        Raises:
            UsageError: for an unknown key or a bad value, naming it and where it stands.
        """
        options = cls.options()
        values: dict[str, Any] = {}
        if config_file is not None:
            path = find_config(config_file)
            values |= _parse_all(options, _read_yaml(path), lambda name: f"{path}: {name}")
        variables = {
            name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(ENVIRONMENT_PREFIX) and value
        }
        values |= _parse_all(options, variables, lambda name: ENVIRONMENT_PREFIX + name.upper())
        values |= _parse_all(options, flags, lambda name: f"--{name.replace('_', '-')}")
        return cls(**values)

    @property
    def dataset_options(self) -> DatasetOptions:
        """Those of the fields that say how the dataset is to be opened."""
        return DatasetOptions(**{f.name: getattr(self, f.name) for f in fields(DatasetOptions)})

    @classmethod
    def options(cls) -> dict[str, Option]:
        """Fields of this configuration as flags, in order."""
        return {f.name: f.metadata["option"] for f in fields(cls)}

    def to_yaml(self) -> str:
        """YAML that `--config` reads back to the same configuration."""
        return str(
            yaml.safe_dump(
                self.to_dict(), sort_keys=False, default_flow_style=None, allow_unicode=True
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Field names to values of YAML's own types."""
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self)}
        return values | {"shard": "/".join(map(str, self.shard))}


@dataclass(frozen=True)
class ClipConfig(RunConfig):
    """Configuration of `apiprompt clip`."""

    pretrained: str | None = option(
        MODEL,
        None,
        _text,
        "TAG|FILE",
        "Weights of an architecture: open_clip tag or file.",
        "openai",
    )

    @property
    def model(self) -> str:
        """The model's name, the default filled in."""
        if self.model_name is not None:
            return self.model_name
        return "demo" if self.dataset == "demo" else "ViT-L-14-336"


def find_config(name: str) -> Path:
    """The file of that name, or the shipped configuration of that name. Raises UsageError."""
    if Path(name).is_file():
        return Path(name)
    shipped = {path.stem: path for path in shipped_configs()}
    try:
        return shipped[name.removesuffix(".yaml")]
    except KeyError:
        raise UsageError(
            f"--config {name}: neither a file nor one of the shipped configurations "
            f"({', '.join(shipped)})"
        ) from None


def shipped_configs() -> list[Path]:
    """The configurations that come with the program: in the wheel, or beside a checkout."""
    package = Path(__file__).parent
    folder = package / "configs"
    return sorted((folder if folder.is_dir() else package.parent / "configs").glob("*.yaml"))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"--config {path}: cannot be read as YAML: {reason}") from error
    if content is None:
        return {}
    if isinstance(content, dict) and "settings" in content and "config" in content:
        content = content["config"]  # a run folder's run.yaml
    if not isinstance(content, dict):
        raise UsageError(f"--config {path}: expected keys and values, got {content!r:.80}")
    return {str(key): value for key, value in content.items()}


def _parse_all(
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
