"""Run folders to ask about, and a server to ask."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api_cli.asking.answers import AnswerSet, read_answers
from api_cli.asking.ask import Report, ask
from api_cli.console import Console
from api_cli.options.ask import AskConfig
from api_cli.runs.pictures import decode, encode
from api_cli.runs.run_folder import RunFolder
from datasets_manager import DatasetOptions, get_dataset
from tests.api_cli.asking.servers import FaultyServer
from tests.conftest import write_json_lines

QUIET = Console(quiet=True)

MakeRun = Callable[..., Path]
Ask = Callable[..., list[AnswerSet]]


@pytest.fixture(scope="session")
def running_server() -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        yield running


@pytest.fixture
def server(running_server: FaultyServer) -> FaultyServer:
    """A server that does what is right until it is told otherwise."""
    running_server.forget()
    return running_server


def write_pictures(root: Path, number: int, **columns: Any) -> Path:
    """An image folder of small pictures, a question each."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(number):
        picture = Image.new("RGB", (40 + i % 5, 30), (i * 37 % 256, i * 91 % 256, 120))
        picture.save(root / f"{i}.png")
        row = {"file_name": f"{i}.png", "key": f"k{i}", "question": f"What is {i}?"}
        rows.append(row | {name: values[i] for name, values in columns.items()})
    write_json_lines(root / "metadata.jsonl", rows)
    return root


def write_run(
    root: Path,
    output: Path,
    *,
    name: str = "5_3_LANCZOS_0",
    image_format: str = "jpg",
    failed: Sequence[str] = (),
    dataset: str = "imagefolder",
    pairs: bool = False,
    **options: Any,
) -> Path:
    """A run folder over a dataset, as a run leaves it: darker pictures, rows, record.

    With `pairs`, each picture is the original, and the darker one goes with it.
    """
    opened = get_dataset(dataset, root, DatasetOptions(**options))
    path = output / f"APICLIP_{dataset}_m_3" / name
    quality = {} if image_format == "png" else {"quality": 90}
    folder = RunFolder(
        path,
        {"dataset": dataset, "enhance_coe": 5, "format": image_format, **quality},
        {"config": {"dataset": dataset, "data_root": str(root), "range": None, **options}},
        image_format=image_format,
    )
    for sample in opened:
        fields = {"key": sample.key, "index": sample.index}
        if sample.key in failed:
            folder.fail(fields | {"stage": "read", "error": "OSError: broken"})
            continue
        shade = Image.new("RGB", (32, 24), (sample.index % 256, len(name), 60))
        contents = {"file_name": encode(shade, image_format, 90)}
        if pairs:
            original = encode(decode(sample.read_image()), image_format, 90)
            contents = {"file_name": original, "crop_file_name": contents["file_name"]}
        images = folder.save_images(sample.key, contents)
        made_of = {"image_sha256": hashlib.sha256(sample.read_image()).hexdigest()}
        folder.add({**images, **fields, "question": sample.question, **sample.extra, **made_of})
    folder.close()
    return path


@pytest.fixture
def asking(server: FaultyServer, tmp_path: Path) -> Callable[..., Report]:
    """Ask the server about run folders in this process; retries are quick."""

    def run(*runs: Path, **flags: Any) -> Report:
        return ask(
            AskConfig(
                runs=runs,
                model=flags.pop("model", "small"),
                base_url=flags.pop("base_url", server.url),
                output_folder=flags.pop("output_folder", tmp_path / "out"),
                **flags,
            ),
            QUIET,
        )

    return run


def sets(report: Report) -> list[AnswerSet]:
    """What stands in the folders of answers."""
    return [read_answers(folder) for folder in report.folders]
