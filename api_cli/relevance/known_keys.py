"""What a library is told of a checkpoint's own files: the keys that shape a model, and no others.

Libraries take more from such a dictionary than a model's shape: where to find Python code, which
kernels to download, arguments for whatever they call. So nothing is handed on but what is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def only(given: object, known: Iterable[str]) -> dict[str, Any]:
    """The known keys of a dictionary out of a file, with their values; none of what is no dict."""
    if not isinstance(given, Mapping):
        return {}
    return {key: given[key] for key in known if key in given}
