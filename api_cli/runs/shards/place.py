"""A folder, on this machine or on any file system that fsspec knows; files appear in it whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from api_cli.errors import first_line
from api_cli.options.location import Location, Url
from api_cli.runs.files import Content, remove_leftovers, write_content, write_whole


class Place(NamedTuple):
    """A folder. On a disk a file gets its name when it is whole; on an object store it does anyway.

    What a file system raises is an OSError that names the file, whatever its library calls it.

    Attributes:
        location: of the folder; made by the first file written.
    """

    location: Location

    def __str__(self) -> str:
        return str(self.location)

    def __truediv__(self, name: str) -> Place:
        return Place(self.location / name)

    def names(self) -> list[str]:
        """Names of the files in it; none where there is no such folder."""
        with _naming(self.location), suppress(FileNotFoundError, NotADirectoryError):
            if isinstance(self.location, Path):
                with os.scandir(self.location) as entries:
                    return [entry.name for entry in entries]
            system, path = _system(self.location)
            system.invalidate_cache()
            return [file.rstrip("/").rpartition("/")[2] for file in system.ls(path, detail=False)]
        return []

    def find(self, name: str) -> list[Place]:
        """The folder, where it has a file of that name, else those below it that have one."""
        if name in self.names():
            return [self]
        if isinstance(self.location, Path):
            return [Place(path.parent) for path in sorted(self.location.rglob(name))]
        with _naming(self.location), suppress(FileNotFoundError):
            system, path = _system(self.location)
            found = (system.unstrip_protocol(file) for file in sorted(system.find(path)))
            return [Place(Url(f.rpartition("/")[0])) for f in found if f.endswith(f"/{name}")]
        return []

    def read(self, name: str) -> bytes:
        """A file's content. Raises FileNotFoundError where there is none."""
        with self.open(name) as file:
            return file.read()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file to read from, and to seek in. Raises FileNotFoundError where there is none."""
        location = self.location / name
        with _naming(location):
            if isinstance(location, Path):
                with location.open("rb") as file:
                    yield file
            else:
                system, path = _system(location)
                with system.open(path, "rb") as file:
                    yield cast(BinaryIO, file)

    def write(self, name: str, content: Content) -> None:
        """Write a file, whole or not at all."""
        location = self.location / name
        with _naming(location):
            if isinstance(location, Path):
                location.parent.mkdir(parents=True, exist_ok=True)
                write_whole(location, content)
                return
            system, path = _system(location)
            if isinstance(content, bytes):
                system.pipe_file(path, content)
                return
            with tempfile.NamedTemporaryFile() as file:  # what is cut short is never sent
                write_content(cast(BinaryIO, file), content)
                file.flush()
                system.put_file(file.name, path)

    def remove(self, name: str) -> None:
        """Delete a file, if it is there."""
        location = self.location / name
        with _naming(location), suppress(FileNotFoundError):
            if isinstance(location, Path):
                location.unlink()
            else:
                system, path = _system(location)
                system.rm_file(path)

    def remove_leftovers(self) -> None:
        """Delete what killed processes left of files that they were writing."""
        if isinstance(self.location, Path):
            remove_leftovers(self.location)


@lru_cache(maxsize=64)
def _system(url: Url) -> tuple[Any, str]:
    """The file system of a URL, and the path on it."""
    import fsspec

    system, path = fsspec.core.url_to_fs(str(url))
    return system, str(path)


@contextmanager
def _naming(location: Location) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        if isinstance(location, Path):
            raise
        raise OSError(f"{location}: {first_line(error)}") from error
    except ImportError as error:
        raise OSError(
            f"{location}: {first_line(error)}; install what fsspec needs for such URLs"
        ) from error
    except Exception as error:
        if isinstance(location, Path):
            raise
        raise OSError(f"{location}: {type(error).__name__}: {first_line(error)}") from error
