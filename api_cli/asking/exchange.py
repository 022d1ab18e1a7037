"""What travels between a question and its answer: prompts out, replies and failures back."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from PIL import Image


class Picture(NamedTuple):
    """A picture as it is sent.

    Attributes:
        file_name: of the file that it comes from.
        content: the very bytes.
        sha256: of them, 64 hex digits.
        media_type: such as image/jpeg.
        width: in pixels.
        height: in pixels.
        source: SHA-256 of the file that was encoded for sending; None where it is sent as it is.
    """

    file_name: str
    content: bytes
    sha256: str
    media_type: str
    width: int
    height: int
    source: str | None = None

    @classmethod
    def of(cls, file_name: str, content: bytes, source: str | None = None) -> Picture:
        """The picture that is in a file's content. Raises OSError where there is none."""
        with Image.open(io.BytesIO(content)) as image:
            kind = Image.MIME.get(image.format or "", "application/octet-stream")
            size = image.size
        return cls(file_name, content, sha256(content).hexdigest(), kind, *size, source)

    @property
    def row(self) -> dict[str, Any]:
        """What an answer's row says of it."""
        row = {
            "file_name": self.file_name,
            "sha256": self.sha256,
            "width": self.width,
            "height": self.height,
        }
        return row if self.source is None else row | {"source_sha256": self.source}


class Prompt(NamedTuple):
    """What a model is given: pictures first, then the text; a system text before both."""

    text: str
    system: str = ""
    pictures: tuple[Picture, ...] = ()


class Request(NamedTuple):
    """A question to be asked.

    Attributes:
        key: unique among the requests of a folder.
        prompt: makes what is sent, when it is sent, on some thread; what it raises makes this
            request a `Failure` of stage "read".
        tag: whatever the caller wants to have back.
    """

    key: str
    prompt: Callable[[], Prompt]
    tag: Any = None


class Reply(NamedTuple):
    """A model's answer.

    Attributes:
        request: that it answers.
        prompt: what was sent.
        answer: the text, without blanks around it; may be empty.
        finish_reason: as the server names it: stop, length, ...
        prompt_tokens: as the server counts them, if it does.
        completion_tokens: likewise.
        model: as the server names it.
        latency: seconds, tries that failed included.
    """

    request: Request
    prompt: Prompt
    answer: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    model: str | None
    latency: float | None

    @property
    def cut_empty(self) -> bool:
        """Whether it is empty because its length was spent before it began."""
        return not self.answer and self.finish_reason == "length"


class Failure(NamedTuple):
    """A request that got no answer; a later run asks it again.

    Attributes:
        request: that failed.
        stage: "read" before anything was sent, else "ask".
        error: one line.
        status: of HTTP, where there was one.
    """

    request: Request
    stage: str
    error: str
    status: int | None = None


@dataclass(frozen=True)
class Sampling:
    """How a model is to answer; all of it shapes the answer.

    Attributes:
        max_tokens: length of an answer at most.
        temperature: 0 for the likeliest answer; None leaves it to the server.
        seed: for servers that take one.
        detail: of pictures, for servers that take one: low, high, auto.
        extra_body: further fields of the request's body.
    """

    max_tokens: int = 128
    temperature: float | None = 0
    seed: int | None = None
    detail: str | None = None
    extra_body: Mapping[str, Any] | None = None
