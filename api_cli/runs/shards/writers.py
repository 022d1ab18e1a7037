"""Shards' content: parquet with Hugging Face's Image feature, or WebDataset tars."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from api_cli.runs.columns import OTHERS
from api_cli.runs.shards.schema import Schema, column_of, picture_column
from api_cli.runs.shards.spool import Span, Spool

_GROUP = 64 * 2**20  # bytes of pictures in a group of rows
_INFERRED = 5  # rows by which `datasets` tells a tar's columns, where no card says them


class Entry(NamedTuple):
    """A finished sample, its files still spooled.

    Attributes:
        stem: the name of its files without ending.
        row: fitted to the schema.
        pictures: by the names of `Sink.save_images`.
        beside: by suffix.
    """

    stem: str
    row: Mapping[str, Any]
    pictures: Mapping[str, Span]
    beside: Mapping[str, Span]


Writer = Callable[[BinaryIO, Sequence[Entry], Spool, Schema, str], None]
"""Writes a shard of entries to a file; the last argument is the pictures' ending."""


def write_parquet(
    file: BinaryIO, entries: Sequence[Entry], spool: Spool, schema: Schema, extension: str
) -> None:
    """A row a sample; a picture is a struct of its bytes and its name."""
    import pyarrow
    import pyarrow.parquet

    arrow = schema.arrow()
    texts = [field.name for field in arrow if pyarrow.types.is_string(field.type)]
    with pyarrow.parquet.ParquetWriter(
        file,
        arrow,
        # pictures are as small as they get, and their first and last in the alphabet are no help
        use_dictionary=texts,
        write_statistics=["key", "index"],
        compression={
            **dict.fromkeys(_leaves(arrow), "ZSTD"),
            **dict.fromkeys(_bytes(arrow), "NONE"),
        },
    ) as writer:
        for group in _groups(entries):
            rows = [_parquet_row(entry, spool, schema, extension) for entry in group]
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=arrow))


def write_tar(
    file: BinaryIO, entries: Sequence[Entry], spool: Spool, schema: Schema, extension: str
) -> None:
    """`key.jpg` and `key.json` a sample, further pictures as `key.crop.jpg`."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in _telling_first(entries):
            for name, span in entry.pictures.items():
                kind = "" if name == "file_name" else f".{picture_column(name)}"
                _add(archive, f"{entry.stem}{kind}.{extension}", spool.read(span))
            said = {name: value for name, value in entry.row.items() if value is not None}
            _add(archive, f"{entry.stem}.json", json.dumps(said).encode())
            for suffix, span in entry.beside.items():
                _add(archive, entry.stem + suffix, spool.read(span))


WRITERS: dict[str, Writer] = {"parquet": write_parquet, "webdataset": write_tar}


def _parquet_row(entry: Entry, spool: Spool, schema: Schema, extension: str) -> dict[str, Any]:
    row = dict(entry.row)
    for name in schema.pictures:
        span = entry.pictures.get(name)
        kind = "" if name == "file_name" else f".{picture_column(name)}"
        path = f"{entry.stem}{kind}.{extension}"
        row[picture_column(name)] = span and {"bytes": spool.read(span), "path": path}
    for suffix in schema.beside:
        span = entry.beside.get(suffix)
        content = span and spool.read(span)
        if content is not None and suffix.endswith(".jpg"):
            row[column_of(suffix)] = {"bytes": content, "path": entry.stem + suffix}
        else:
            row[column_of(suffix)] = content
    return row


def _groups(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Entries of so many bytes that a group of rows is read at once without regret."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        group.append(entry)
        size += sum(span.size for span in (*entry.pictures.values(), *entry.beside.values()))
        if size >= _GROUP:
            yield group
            group, size = [], 0
    if group or not entries:
        yield group


def _telling_first(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Entries, those first that between them have a value in every column that any of them has."""
    missing = {name for e in entries for name, value in e.row.items() if value is not None}
    first: list[int] = []
    while missing and len(first) < _INFERRED:
        best = max(range(len(entries)), key=lambda n: len(missing & _there(entries[n])))
        if not missing & _there(entries[best]):
            break
        missing -= _there(entries[best])
        first.append(best)
    chosen = set(first)
    yield from (entries[n] for n in sorted(first))
    yield from (entry for n, entry in enumerate(entries) if n not in chosen)


def _there(entry: Entry) -> set[str]:
    return {name for name, value in entry.row.items() if value is not None and name != OTHERS}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # of no time and nobody, so that equal shards are equal
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _leaves(arrow: Any) -> list[str]:
    """Names of parquet's own columns: those of a struct are apart."""
    import pyarrow.parquet

    schema = pyarrow.parquet.ParquetFile(_empty(arrow)).schema
    return [schema.column(n).path for n in range(len(schema))]


def _bytes(arrow: Any) -> list[str]:
    return [path for path in _leaves(arrow) if path.endswith(".bytes")]


def _empty(arrow: Any) -> io.BytesIO:
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(arrow.empty_table(), buffer)
    buffer.seek(0)
    return buffer
