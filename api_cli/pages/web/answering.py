"""One question about one picture to a server."""

from __future__ import annotations

from api_cli.asking.client import Server, ask_in_groups
from api_cli.asking.exchange import Failure, Picture, Prompt, Request, Sampling
from api_cli.errors import ApipromptError

_SECONDS = 60.0


class AnswerError(ApipromptError):
    """A server that gives no answer."""


def answer(
    question: str, pictures: dict[str, bytes], base_url: str, model: str, api_key_env: str
) -> str:
    """What a model on a server says.

    Args:
        question: the text.
        pictures: encoded, by their files' names, in the order in which they are sent.
        base_url: up to and with /v1.
        model: as the server knows it.
        api_key_env: variable that holds the key.

    Raises:
        ApipromptError: for a server that is gone, or that refuses.
    """
    shown = tuple(Picture.of(name, content) for name, content in pictures.items())
    prompt = Prompt(question, pictures=shown)
    server = Server(
        base_url, model, api_key_env, concurrency=1, timeout=_SECONDS, retries=1, limit_errors=1
    )
    request = Request("picture", lambda: prompt)
    for group in ask_in_groups(iter([request]), server, Sampling(256, 0), lambda _: None):
        for outcome in group:
            if isinstance(outcome, Failure):
                raise AnswerError(outcome.error)
            return outcome.answer
    raise AnswerError(f"{base_url} gave no answer")
