"""How a dataset is to be opened; every loader takes from it what concerns it."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class DatasetOptions:
    """Wishes beside a dataset's name and the data root.

    A loader says which of them it takes; where another one is given, the dataset is not opened.

    Attributes:
        source: `disk`, `hub`, or `auto`: the hub where the disk has none of the set.
        hub_id: `OWNER/NAME` of the hub's repository, or a folder that holds a copy of one.
        revision: branch, tag or commit of the repository.
        split: part of the set, in the set's own words (`validation`, `popular`, ...).
        images: what becomes of a question about several images: `all` for a sample each, `first`
            for the first one's alone.
        question: asked about every image, whatever the set asks.
        image_column: column that holds the picture, or its file's name.
        question_column: column that holds the question.
        key_column: column that holds the key.
        query_column: column, or field, that holds what the auxiliary model is asked instead of
            the question; every set takes it.
        streaming: whether a repository's files are read where they are, instead of copied to
            the disk.
    """

    source: str = "auto"
    hub_id: str | None = None
    revision: str | None = None
    split: str | None = None
    images: str = "all"
    question: str | None = None
    image_column: str | None = None
    question_column: str | None = None
    key_column: str | None = None
    query_column: str | None = None
    streaming: bool = False

    @property
    def given(self) -> list[str]:
        """Names of those that differ from their default."""
        return [f.name for f in fields(self) if getattr(self, f.name) != f.default]


HUB_OPTIONS = ("source", "hub_id", "revision", "split")
COLUMN_OPTIONS = ("image_column", "question_column", "key_column")
