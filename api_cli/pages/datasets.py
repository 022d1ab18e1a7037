"""What `apiprompt datasets` has to say: the list, samples of a dataset, and its faults."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from api_cli.console import Console
from api_cli.options.data import DataConfig
from api_cli.runs.pictures import decode
from datasets_manager import Sample, available_datasets, get_dataset
from datasets_manager.hub import HUB_SETS

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_LONGEST = 300  # characters of a question or a field
_AT_ONCE = 64  # pictures read ahead
_COLUMNS = 48  # of a picture in the terminal


def list_datasets() -> Table:
    """Every dataset by name, with its size, its sources and its licence."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 1, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for info in available_datasets():
        hub = f"on the hub: {HUB_SETS[info.name].hub_id}\n" if info.name in HUB_SETS else ""
        table.add_row(info.name, f"{info.about}\n{info.home}\n{hub}licence: {info.licence}")
    table.add_row("hf:OWNER/NAME", "any dataset of the hub: hf:OWNER/NAME[:CONFIG][:SPLIT]")
    table.add_row("webdataset:PATTERN", "tar shards: webdataset:'shards/*.tar'")
    table.add_row(
        "package.module:function", "a function of yours, under @loader, that yields samples"
    )
    return table


def open_samples(
    config: DataConfig, console: Console, default: tuple[int, int] | None = None
) -> Sequence[Sample]:
    """The samples of `config.range`, or without one those of the default, or all.

    Args:
        config: the dataset, and the range of it.
        console: told what is left out of the dataset.
        default: first sample and the one after the last.

    Raises:
        DatasetError: where the dataset cannot be opened.
    """
    dataset = get_dataset(config.dataset, config.data_root, config.dataset_options)
    for note in dataset.notes:
        console.say(note)
    range_ = config.range or default
    return dataset[slice(*range_) if range_ else slice(None)]


def describe(sample: Sample, *, draw: bool = False) -> Text:
    """A paragraph on a sample: key, size of the picture, question, and all else there is.

    Args:
        sample: of any dataset.
        draw: whether to put the picture above it, in blocks of a terminal's colours.
    """
    from rich.text import Text

    picture = Text()
    try:
        image = decode(sample.read_image())
    except Exception as error:  # as in a run, whatever Pillow raises is the sample's matter
        what = f"no picture: {type(error).__name__}: {error}"
    else:
        what = f"{image.width} x {image.height} pixels"
        picture = in_blocks(image) if draw else picture
    fields = {} if sample.fault is None else {"fault": sample.fault}
    fields |= {"question": sample.question}
    fields |= {} if sample.query == sample.question else {"query": sample.query}
    try:
        fields |= sample.extra
    except Exception as error:  # as in a run, whatever reading raises is the sample's matter
        fields |= {"fault": f"{type(error).__name__}: {error}"}
    return Text.assemble(
        picture,
        (_printable(sample.key), "bold"),
        f"  sample {sample.index}, {_printable(what)}\n",
        *(f"  {_printable(name)}: {cut(value)}\n" for name, value in fields.items()),
    )


def in_blocks(image: Image.Image) -> Text:
    """A picture as text, two pixels a character.

    Args:
        image: in RGB.
    """
    from rich.text import Text

    rows = max(1, round(_COLUMNS * image.height / image.width / 2))
    pixels = np.asarray(image.resize((_COLUMNS, 2 * rows)))  # (2 * rows, columns, RGB) uint8
    text = Text()
    for y in range(0, 2 * rows, 2):
        for x in range(_COLUMNS):
            upper, lower = (f"#{pixels[y + half, x].tobytes().hex()}" for half in (0, 1))
            text.append("\u2580", f"{upper} on {lower}")
        text.append("\n")
    return text


def find_faults(samples: Sequence[Sample]) -> Iterator[tuple[Sample, str]]:
    """The samples that a run could not process, and why. Reads every picture."""
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(samples), _AT_ONCE):
            some = samples[start : start + _AT_ONCE]
            for sample, fault in zip(some, pool.map(_fault, some), strict=True):
                if fault:
                    yield sample, _printable(fault)


def _fault(sample: Sample) -> str:
    """What is wrong with a sample; empty where nothing is."""
    if sample.fault is not None:
        return sample.fault
    try:
        len(sample.extra)  # reads it
        decode(sample.read_image())
    except Exception as error:  # as in a run, whatever Pillow raises is the sample's matter
        return f"{type(error).__name__}: {error}"
    return ""


def cut(value: object) -> str:
    """A value as text: what is no text as JSON, and what is long cut off."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = _printable(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def _printable(text: str) -> str:
    """A text for any terminal: what is no Unicode is written out."""
    return text.encode("utf-8", "backslashreplace").decode()
