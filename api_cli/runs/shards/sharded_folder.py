"""The shards of one setting: `data/`, `errors/`, `run.yaml` and a card, on any file system.

data/train-00003-of-00008.parquet   a shard that stands is a fragment that is done
errors/train-00003-of-00008.jsonl   its failed samples, written before it
.keys/train-00003-of-00008.npy      digests of its keys, for the check across shards
run.yaml                            settings, and the plan of fragments
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from api_cli.errors import RunFolderError
from api_cli.runs.card import CARD, card_content, may_replace
from api_cli.runs.names import SampleNames
from api_cli.runs.record import RECORD, differences, read_record, record_content
from api_cli.runs.shards.names import DATA, ERRORS, KEYS, SUFFIX, ShardName, numbers, own
from api_cli.runs.shards.place import Place
from api_cli.runs.shards.schema import Kind, Schema
from api_cli.runs.shards.sink import Collected, ShardSink, stems_of
from api_cli.runs.shards.writers import WRITERS
from datasets_manager import Dataset

CHECKED = "checked.json"
_OPENING = """\
    datasets.load_dataset(".")   # or this folder's URL; streaming=True reads as it goes

A row of `{data}` is a sample. Its columns are those of the dataset beside the program's own;
a name that was taken got `dataset_` before it. What a row has that others have not, or of another
kind, stands in its `other_columns`, as JSON. Samples that failed stand in `errors/`, if any."""


class ShardedFolder(NamedTuple):
    """The shards of one setting; can be pickled, and used from several processes at once.

    Attributes:
        place: the run folder.
        kind: `parquet` or `webdataset`.
        total: fragments of the plan.
        extension: of the pictures, a key of `pictures.FORMATS`.
        schema: of the rows.
    """

    place: Place
    kind: str
    total: int
    extension: str
    schema: Schema

    @property
    def suffix(self) -> str:
        """Ending of its shards."""
        return SUFFIX[self.kind]

    def done(self) -> set[int]:
        """Numbers of the fragments that are done."""
        return numbers((self.place / DATA).names(), self.suffix)

    def failed(self) -> set[int]:
        """Numbers of the fragments that are done, but for samples that failed."""
        return numbers((self.place / ERRORS).names(), ".jsonl")

    def sink(self, number: int, dataset: Dataset) -> ShardSink:
        """Takes in a fragment, and publishes it as a shard."""
        shard = ShardName(number, self.total)
        stems = stems_of(
            SampleNames(sample.key for sample in dataset), dots=self.kind != "webdataset"
        )

        def publish(collected: Collected) -> None:
            errors, name = collected.errors(), shard.file(".jsonl")
            if errors:
                (self.place / ERRORS).write(name, errors)
            keys = io.BytesIO()
            np.save(keys, collected.digests())
            (self.place / KEYS).write(shard.file(".npy"), keys.getvalue())
            entries, write = collected.in_order(), WRITERS[self.kind]
            (self.place / DATA).write(
                shard.file(self.suffix),
                lambda file: write(file, entries, collected.spool, self.schema, self.extension),
            )
            if (
                not errors
            ):  # of an earlier start; last, so that it is done again if that is not seen
                (self.place / ERRORS).remove(name)

        return ShardSink(len(dataset), self.schema, stems, self.extension, publish)

    def claimed(
        self,
        settings: Mapping[str, Any],
        plan: Mapping[str, Any],
        find_columns: Callable[[], Mapping[str, Kind]],
        record: Mapping[str, Any],
    ) -> ShardedFolder:
        """The folder with its columns: begun, or checked to be of these settings and this plan.

        Args:
            settings: that determine the pictures.
            plan: how the dataset is cut.
            find_columns: of the rows; those that the folder was begun with count.
            record: what else `run.yaml` should say, such as the resolved configuration.

        Raises:
            RunFolderError: where it is of others.
        """
        for place in (self.place, *(self.place / name for name in (DATA, ERRORS, KEYS))):
            place.remove_leftovers()
        try:
            there = self.place.read(RECORD)
        except FileNotFoundError:
            if self.done():
                raise RunFolderError(
                    f"{self.place} has shards but no {RECORD}, so what they hold is not known; "
                    "use --overwrite to start it afresh, or another --output-folder"
                ) from None
            whole = {**plan, "columns": dict(find_columns())}
            self.place.write(RECORD, record_content(settings, {**record, "plan": whole}))
            there = self.place.read(RECORD)  # perhaps another process's by now
        known = dict(read_record(there, str(self.place), settings).get("plan") or {})
        columns = known.pop("columns", {})
        if differing := differences(known, plan):
            raise RunFolderError(
                f"{self.place} holds shards of another plan, whose numbers mean other samples: "
                f"{differing}. Say the same --dataset, --range and --shard-size, use "
                "another --output-folder, or --overwrite to replace them"
            )
        claimed = self._replace(schema=self.schema._replace(columns=columns))
        claimed._write_card(settings)
        return claimed

    def clear(self) -> None:
        """Delete what runs wrote; anything else stays."""
        for folder in (DATA, ERRORS, KEYS):
            for name in own((self.place / folder).names()):
                (self.place / folder).remove(name)
        (self.place / KEYS).remove(CHECKED)
        self.place.remove(RECORD)

    def _write_card(self, settings: Mapping[str, Any]) -> None:
        data = f"{DATA}/*{self.suffix}"
        features = self.schema.features()
        if self.kind == "webdataset":
            features = _tar_features(self.schema, self.extension)
        content = card_content(settings, features, [data], _OPENING.format(data=data))
        try:
            there = self.place.read(CARD)
        except FileNotFoundError:
            there = None
        if there is None or may_replace(there, content):
            self.place.write(CARD, content)


def _tar_features(schema: Schema, extension: str) -> list[dict[str, Any]]:
    """As `datasets` reads a tar: a column a suffix."""
    pictures = [
        {"name": extension if name == "file_name" else f"{_kind(name)}.{extension}"}
        for name in schema.pictures
    ]
    image, array = {"dtype": "image"}, {"list": {"list": {"list": "float32"}}}
    beside = [
        {"name": suffix.removeprefix("."), **(image if suffix.endswith("jpg") else array)}
        for suffix in schema.beside
    ]
    return [
        *({**picture, "dtype": "image"} for picture in pictures),
        {"name": "json", "struct": schema.plain_features()},
        *beside,
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def _kind(name: str) -> str:
    return name.removesuffix("_file_name")
