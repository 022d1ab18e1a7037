"""A server of OpenAI's chat dialect over real HTTP, which does wrong when it is told to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send


class FaultyServer:
    """Answers each question with the digest of what it got, after the faults planned for it.

    Attributes:
        url: its base URL.
        faults: of a question's text: statuses or words, used up one a request; those of "*" are
            everybody's.
        models: what it says it serves.
        asked: bodies of the requests, in order.
        times: when each came.
        headers: of each.
        most_at_once: requests that were there together.
        seconds: how long an answer takes.
        reply: what an answer's body has beside, or instead.
    """

    def __init__(self) -> None:
        self._root = ""
        self._address = 0
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Be as new, at another address: what is still under way to the old one does not count."""
        self._address += 1
        self.faults: dict[str, list[Any]] = defaultdict(list)
        self.models = ["small"]
        self.asked: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self.seconds = 0.0
        self.reply: dict[str, Any] = {}
        self._now = 0

    @property
    def url(self) -> str:
        return f"{self._root}/{self._address}/v1"

    def texts(self) -> list[str]:
        """What was asked, in order."""
        return [text_of(body) for body in self.asked]

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        if request.path_params["address"] != str(self._address):
            return Response(status_code=410)
        with self._lock:
            self.asked.append(body)
            self.times.append(time.monotonic())
            self.headers.append(dict(request.headers))
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            planned = self.faults.get(text_of(body)) or self.faults["*"]
            fault = planned.pop(0) if planned else None
        try:
            if self.seconds:
                await asyncio.sleep(self.seconds)
            return await self._answer(body, fault)
        finally:
            self._now -= 1

    async def _answer(self, body: dict[str, Any], fault: Any) -> Response:
        if isinstance(fault, tuple):
            status, content, *headers = fault
            return JSONResponse(content, status, *headers)
        if isinstance(fault, int):
            return JSONResponse({"error": {"message": f"planned {fault}"}}, fault)
        if fault == "malformed":
            return Response('{"choices": [{"message"', media_type="application/json")
        if fault == "html":
            return Response("<html>gateway</html>", media_type="text/html")
        if fault == "reset":
            return _Torn()
        if fault == "hang":
            await asyncio.sleep(3)
        message = {"role": "assistant", "content": f" {answer_to(body)} "}
        return JSONResponse(
            {
                "model": "small-v2",
                "choices": [{"message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            }
            | self.reply
        )

    async def list_models(self, request: Request) -> Response:
        return JSONResponse({"data": [{"id": name} for name in self.models]})

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultyServer]:
        """The server, listening."""
        routes = [
            Route("/{address}/v1/chat/completions", self.chat, methods=["POST"]),
            Route("/{address}/v1/models", self.list_models),
        ]
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self._root = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            Starlette(routes=routes), log_level="critical", ws="none", lifespan="off"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        self.stop = lambda: setattr(server, "should_exit", True)
        try:
            yield self
        finally:
            self.stop()
            server.force_exit = True
            thread.join(timeout=10)
            listening.close()


class _Torn(Response):
    """A reply that ends in the middle, and its connection with it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"choices"', "more_body": True})
        raise ConnectionResetError


def text_of(body: dict[str, Any]) -> str:
    """The text of a request's last message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[-1]["text"]


def pictures_of(body: dict[str, Any]) -> list[bytes]:
    """The pictures of a request, decoded, in order."""
    content = body["messages"][-1]["content"]
    parts = [] if isinstance(content, str) else content
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


def answer_to(body: dict[str, Any]) -> str:
    """What the server answers: a digest of the messages."""
    return hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()[:12]
