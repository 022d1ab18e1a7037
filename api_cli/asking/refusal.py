"""What a server's refusal means: a request's own matter, or everybody's, and then the way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from api_cli.asking.secrets import shown_url

if TYPE_CHECKING:
    import openai


def message_of(error: openai.APIStatusError) -> str:
    """What the server says, on one line."""
    body = error.body
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    return " ".join(str(said or error.message).split())[:500]


def cause_of(error: BaseException) -> str:
    """What is at the bottom of an error of a connection."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__


def why_hopeless(
    error: openai.APIStatusError,
    base_url: str,
    model: str,
    *,
    key: str,
    served: Sequence[str],
    answered: bool,
) -> str | None:
    """Why the next request would fare no better, and the way out; None where it might.

    Args:
        error: of a request, once it is not tried again.
        base_url: of the server.
        model: as it was asked for.
        key: whether there is one and where it is from, for the user.
        served: names of models that the server lists; none where it does not say.
        answered: whether it has answered any request.
    """
    message, status, url = message_of(error), error.status_code, shown_url(base_url)
    if status in (401, 403):
        return f"{url} refuses the key ({status}: {message}); {key}"
    unknown = bool(served) and model not in served and not answered
    if status == 404 or (status == 400 and unknown):
        models = f"; it serves: {', '.join(served)}" if served else ""
        return (
            f"{url} does not answer for --model {model} ({status}: {message}){models}. Check "
            "--model, and that --base-url ends as the server wants it, usually in /v1"
        )
    if status == 400 and "temperature" in message and not answered:
        return (
            f"{url} will not have this temperature ({status}: {message}); --temperature none "
            "leaves it to the server"
        )
    return None
