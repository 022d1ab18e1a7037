"""What a belt asks of the place where results go, and what planning asks of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from api_cli.runs.ledger import Row


class Source(NamedTuple):
    """What a masked image was made from, and its name.

    Attributes:
        asked: `names.asked` of the question, and of what the model was asked.
        image: SHA-256 of the encoded picture, 64 hex digits.
        name: of its files, without ending; None where that is the key.
    """

    asked: int
    image: str
    name: str | None


class Sink(Protocol):
    """Where a belt puts the results of one setting; called from several threads at once."""

    def save_images(self, key: str, images: Mapping[str, bytes]) -> dict[str, str]:
        """Keep a sample's pictures, before its row is added.

        Args:
            key: the sample's.
            images: encoded pictures under the manifest's columns: `file_name` for the masked
                image, `{what}_file_name` for another one.

        Returns:
            The names under which they are kept, under the same columns.
        """
        ...

    def save_beside(self, key: str, suffix: str, content: bytes) -> None:
        """Keep a file that belongs to a sample, such as its relevance map."""
        ...

    def add(self, row: Row, stamp: str | None = None) -> None:
        """Enter a finished sample.

        Args:
            row: `file_name` first, `key`, `question` and `image_sha256` among the rest.
            stamp: of the picture it was made from (`Sample.stamp`), taken before it was read.
        """
        ...

    def fail(self, row: Row) -> None:
        """Note that a sample failed: key, index, stage, error."""
        ...

    def close(self) -> None:
        """Return once all that was handed over is where it stays."""
        ...


class Finished(Protocol):
    """What is already there of one setting."""

    @property
    def title(self) -> str:
        """For messages."""
        ...

    def __contains__(self, key: str) -> bool: ...

    def __iter__(self) -> Iterator[str]:
        """Keys of finished samples."""
        ...

    def source(self, key: str) -> Source | None:
        """What a finished sample was made from; None for one that is not finished."""
        ...

    def knows(self, key: str, stamp: str | None) -> bool:
        """Whether a finished sample's picture is as it was, by its stamp (`Sample.stamp`)."""
        ...

    def confirm(self, key: str, stamp: str | None) -> None:
        """Note the stamp of a finished sample's picture that was read and found the same."""
        ...

    def __len__(self) -> int:
        """Number of finished samples."""
        ...

    def has_beside(self, key: str, suffix: str) -> bool:
        """Whether a sample has such a file of `Sink.save_beside`."""
        ...
