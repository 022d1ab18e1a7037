"""A sharded run's rows and pictures, for what looks at them or asks about them."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import yaml

from api_cli.errors import RunFolderError, first_line
from api_cli.options.location import Location, Url
from api_cli.runs.columns import OTHERS
from api_cli.runs.ledger import parse_lines
from api_cli.runs.record import RECORD
from api_cli.runs.shards.names import DATA, ERRORS, SUFFIX, ShardName, own
from api_cli.runs.shards.place import Place
from api_cli.runs.shards.schema import pictures_of
from api_cli.runs.shards.sharded_folder import ShardedFolder
from datasets_manager.arrow import ParquetTable, StreamedTable
from datasets_manager.groups import Groups
from datasets_manager.tables import read_picture


class Picture(NamedTuple):
    """One of a sample's pictures, not yet read."""

    file_name: str
    read: Callable[[], bytes]


class Found(NamedTuple):
    """A sample of a sharded run.

    Attributes:
        row: as a manifest has it, without names of files.
        pictures: what the run made of it, by the manifest's columns, `file_name` first; without
            heat maps.
    """

    row: dict[str, Any]
    pictures: dict[str, Picture]


class Shards(NamedTuple):
    """A sharded run's folder, to be read.

    Attributes:
        place: of the folder.
        kind: `parquet` or `webdataset`.
        record: the whole of `run.yaml`.
    """

    place: Place
    kind: str
    record: Mapping[str, Any]

    def samples(self) -> Iterator[Found]:
        """All finished samples, shard by shard; a picture is read when it is asked for."""
        read = {"parquet": _of_parquet, "webdataset": _of_tar}[self.kind]
        suffix, groups = SUFFIX[self.kind], Groups()
        columns = pictures_of(str(self.record["settings"].get("render")))
        for name in sorted(own((self.place / DATA).names())):
            if name.endswith(suffix):
                for row, pictures in read(self.place / DATA, name, groups):
                    yield Found(row, {one: pictures[one] for one in columns if one in pictures})

    def failed(self) -> Iterator[dict[str, Any]]:
        """Rows of samples that failed: key, index, stage, error."""
        for name in sorted(own((self.place / ERRORS).names())):
            yield from parse_lines((self.place / ERRORS).read(name))


def open_shards(location: Location) -> Shards | None:
    """A sharded run's folder; None where it is a folder of pictures.

    Raises:
        RunFolderError: where it is no run at all.
    """
    try:
        record = dict(yaml.safe_load(Place(location).read(RECORD).decode()))
        return shards_of(location, record)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{location}/{RECORD} is not a record of a run ({first_line(error)}); `apiprompt clip` "
            "and `apiprompt llava` make runs and print their paths"
        ) from error


def shards_of(location: Location, record: Mapping[str, Any]) -> Shards | None:
    """A sharded run's folder, by its record; None where it is a folder of pictures."""
    kind = record["settings"].get("output_format")
    return Shards(Place(location), kind, record) if kind in SUFFIX else None


def runs_below(url: Url) -> list[Location]:
    """Runs into shards at a URL, or below it. Raises RunFolderError where there are none."""
    records = Place(url).find(RECORD)
    if not records:
        raise RunFolderError(
            f"{url}: no run there, nor below it (none has a {RECORD}); `apiprompt clip` and "
            "`apiprompt llava` make them and print where they are"
        )
    return [place.location for place in records]


def read_keys(folder: ShardedFolder, number: int) -> Iterator[str]:
    """Keys of a shard's finished samples, and of its failed ones."""
    shard, data = ShardName(number, folder.total), folder.place / DATA
    if folder.kind == "parquet":
        import pyarrow.parquet

        with data.open(shard.file(folder.suffix)) as file:
            column = pyarrow.parquet.read_table(file, columns=["key"]).column("key")
        yield from column.to_pylist()
    else:
        for found in _of_tar(data, shard.file(folder.suffix), Groups()):
            yield found.row["key"]
    name = shard.file(".jsonl")
    if name in (folder.place / ERRORS).names():
        for row in parse_lines((folder.place / ERRORS).read(name)):
            yield row["key"]


def _of_parquet(place: Place, name: str, groups: Groups) -> Iterator[Found]:
    """A parquet file's samples; a picture is read with those of its group of rows."""
    location = place.location / name
    if isinstance(location, Path):
        table = ParquetTable(location, groups)
    else:
        table = StreamedTable(location, groups)
    paths = table.read([f"{column}.path" for column in table.pictures])
    for number, (row, named) in enumerate(zip(table.read(table.plain), paths, strict=True)):
        pictures = {
            _file_column(column): Picture(
                value["path"], partial(read_picture, table, number, column)
            )
            for column, value in named.items()
            if value is not None
        }
        yield Found(_unfitted(row), pictures)


def _of_tar(place: Place, name: str, groups: Groups) -> Iterator[Found]:
    """A tar's samples, whose pictures are read where they lie when they are asked for."""
    stem = ""
    row: dict[str, Any] = {}
    pictures: dict[str, Picture] = {}
    with place.open(name) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            this, _, suffix = member.name.partition(".")
            if this != stem and row:
                yield Found(_unfitted(row), pictures)
                row, pictures = {}, {}
            stem = this
            if suffix == "json":
                row = json.loads(cast(BinaryIO, archive.extractfile(member)).read())
            elif not suffix.endswith("npy"):
                kind = suffix.rpartition(".")[0]
                column = f"{kind}_file_name" if kind else "file_name"
                read = partial(_read_at, place, name, member.offset_data, member.size)
                pictures[column] = Picture(member.name, read)
        if row:
            yield Found(_unfitted(row), pictures)


def _unfitted(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it was before it was fitted to the shards' columns; what is null is left out."""
    others = row.pop(OTHERS, None)
    there = {name: value for name, value in row.items() if value is not None}
    return {**there, **(json.loads(others) if others else {})}


def _file_column(column: str) -> str:
    return "file_name" if column == "image" else f"{column}_file_name"


def _read_at(place: Place, name: str, offset: int, size: int) -> bytes:
    with place.open(name) as file:
        file.seek(offset)
        return file.read(size)
