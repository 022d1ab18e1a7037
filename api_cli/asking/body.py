"""The bodies of a chat, request and reply, the same for a server and for a batch file."""

from __future__ import annotations

import base64
from typing import Any, TypeVar

from api_cli.asking.exchange import Picture, Prompt, Reply, Request, Sampling

PATH = "/chat/completions"

T = TypeVar("T")


def chat_body(prompt: Prompt, model: str, sampling: Sampling, token_field: str) -> dict[str, Any]:
    """A body in OpenAI's dialect: pictures as data URIs, then the text.

    Args:
        prompt: what is asked.
        model: as the server knows it.
        sampling: how it is to answer.
        token_field: `max_tokens` or `max_completion_tokens`: what the server calls the limit.
    """
    content: str | list[dict[str, Any]] = prompt.text
    if prompt.pictures:
        pictures = [_picture(picture, sampling.detail) for picture in prompt.pictures]
        content = [*pictures, {"type": "text", "text": prompt.text}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
    if prompt.system:
        messages.insert(0, {"role": "system", "content": prompt.system})
    body: dict[str, Any] = {"model": model, "messages": messages, token_field: sampling.max_tokens}
    if sampling.temperature is not None:
        body["temperature"] = sampling.temperature
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    return body | dict(sampling.extra_body or {})


def read_reply(request: Request, prompt: Prompt, body: Any, latency: float | None = None) -> Reply:
    """What a reply's body says. Raises ValueError where there is no answer in it."""
    if not isinstance(body, dict) or not body.get("choices"):
        said = body.get("error") if isinstance(body, dict) else None
        raise ValueError(f"no answer in it{'' if said is None else f', but: {said}'}")
    try:
        [choice, *_] = body["choices"]
        content = choice["message"].get("content")
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        usage = body.get("usage") or {}
        return Reply(
            request,
            prompt,
            str(content or "").strip(),
            _if(str, choice.get("finish_reason")),
            _if(int, usage.get("prompt_tokens")),
            _if(int, usage.get("completion_tokens")),
            _if(str, body.get("model")),
            latency,
        )
    except (TypeError, LookupError, AttributeError) as error:
        raise ValueError(f"not as OpenAI's: {type(error).__name__}: {error}") from error


def _if(kind: type[T], value: object) -> T | None:
    """What a server says beside the answer, where it is of that kind."""
    return value if isinstance(value, kind) else None


def _picture(picture: Picture, detail: str | None) -> dict[str, Any]:
    text = base64.b64encode(picture.content).decode("ascii")
    url = {"url": f"data:{picture.media_type};base64,{text}"}
    return {"type": "image_url", "image_url": url if detail is None else url | {"detail": detail}}
