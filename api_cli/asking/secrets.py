"""The key of a server: read from the environment, and kept out of all that is written or shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from api_cli.errors import UsageError

_LENGTH_OF_A_KEY = 12  # shorter ones ("EMPTY", "none") are words that an answer may well hold
_HIDDEN = "(the key)"


def read_key(variable: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key in that variable; None where it is not set.

    Raises:
        UsageError: where it cannot be part of a request; the message does not show it.
    """
    key = environment.get(variable, "").strip()
    if not key:
        return None
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise UsageError(
            f"${variable}: expected a key without blanks, new lines and letters beyond ASCII"
        )
    return key


def without(key: str | None, text: str, *, in_answer: bool = False) -> str:
    """A server's text without the key, which some repeat.

    Args:
        key: if there is one.
        text: of the server.
        in_answer: leave words alone that are too short for a secret.
    """
    if key is None or (in_answer and len(key) < _LENGTH_OF_A_KEY):
        return text
    return text.replace(key, _HIDDEN)


def shown_url(url: str) -> str:
    """An address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
