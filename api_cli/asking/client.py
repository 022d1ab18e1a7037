"""Many requests to one server that speaks OpenAI's chat dialect, some at a time.

The `openai` client does the talking, its retries and time-outs; here is what it has not: a window
of requests over an iterator, a pace, and when to give up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api_cli.asking.body import chat_body, read_reply
from api_cli.asking.exchange import Failure, Prompt, Reply, Request, Sampling
from api_cli.asking.secrets import read_key, shown_url, without
from api_cli.errors import ApipromptError, UsageError, first_line

if TYPE_CHECKING:
    import openai

Outcome = Reply | Failure

_SECONDS_FOR_MODELS = 30.0
_FIELDS = ("max_tokens", "max_completion_tokens")


class ServerError(ApipromptError):
    """A server that is gone, or that refuses everybody; what was answered stays."""


@dataclass(frozen=True)
class Server:
    """Where models are asked.

    Attributes:
        base_url: up to and with /v1.
        model: as the server knows it.
        api_key_env: variable of the environment that holds the key; it may be unset.
        concurrency: requests at a time.
        rpm: requests begun a minute at most, those that are tried again included; None for no
            limit.
        timeout: seconds that a server may be silent.
        retries: of a request, where the server is busy, fails or cannot be reached.
        token_field: `max_tokens`, `max_completion_tokens`, or `auto` for the first, and the second
            where the server asks for it.
        limit_errors: failures in a row after which the server counts as gone; 0 for never.
    """

    base_url: str
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 16
    rpm: float | None = None
    timeout: float = 600
    retries: int = 5
    token_field: str = "auto"
    limit_errors: int = 20


def ask_all(
    requests: Iterable[Request],
    server: Server,
    sampling: Sampling,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[Outcome]:
    """Ask every request, and yield what becomes of each, in the order in which that is known.

    Requests are taken from the iterator as there is room for them, and prompts made when they are
    sent, so that memory does not grow with their number. A generator that is closed, or
    interrupted, gives up what is in flight.

    Args:
        requests: what to ask.
        server: whom.
        sampling: how it is to answer.
        say: takes lines that a user should notice.

    Raises:
        UsageError: where the `openai` package or the key will not do.
        ServerError: where the server cannot be reached, knows neither key nor model, or has failed
            `limit_errors` times in a row.
    """
    with asyncio.Runner() as runner:
        talk = _Talk(iter(requests), server, sampling, say)
        try:
            runner.run(talk.begin())
            while outcomes := runner.run(talk.next()):
                for outcome in outcomes:
                    if isinstance(outcome, BaseException):
                        raise outcome
                    yield outcome
        finally:
            runner.run(talk.end())


class _Talk:
    """A window of requests, moving over an iterator."""

    def __init__(
        self,
        requests: Iterator[Request],
        server: Server,
        sampling: Sampling,
        say: Callable[[str], None],
    ) -> None:
        self._requests = requests
        self._server = server
        self._sampling = sampling
        self._say = say
        self._key = read_key(server.api_key_env)
        self._token_field = "max_tokens" if server.token_field == "auto" else server.token_field
        self._served: tuple[str, ...] = ()
        self._failed_in_row = 0
        self._answered = False
        self._done = False
        self._outcomes: asyncio.Queue[Outcome | BaseException | None] = asyncio.Queue(
            server.concurrency
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._client = _open_client(server, self._key)

    async def begin(self) -> None:
        """See whether the server is there, then start asking."""
        await self._list_models()
        workers = [asyncio.create_task(self._work()) for _ in range(self._server.concurrency)]
        self._tasks = [*workers, asyncio.create_task(self._watch(workers))]

    async def next(self) -> list[Outcome | BaseException]:
        """Some more outcomes; none where all is done."""
        some: list[Outcome | BaseException] = []
        while not self._done and not (some and self._outcomes.empty()):
            outcome = await self._outcomes.get()
            if outcome is None:
                self._done = True
            else:
                some.append(outcome)
        return some

    async def end(self) -> None:
        """Give up what is in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _watch(self, workers: list[asyncio.Task[None]]) -> None:
        """Say when all is done, or what ended it, after what is known by then."""
        try:
            await asyncio.gather(*workers)
        except Exception as error:
            await self._outcomes.put(error)
        await self._outcomes.put(None)

    async def _work(self) -> None:
        while (request := next(self._requests, None)) is not None:
            outcome = await self._ask(request)
            await self._outcomes.put(outcome)
            self._give_up_where_gone(outcome)

    async def _ask(self, request: Request) -> Outcome:
        try:
            prompt = await asyncio.to_thread(request.prompt)
        except Exception as error:  # whatever a picture's file holds ends the sample, not the run
            return Failure(request, "read", f"{type(error).__name__}: {error}")
        import openai

        start = time.perf_counter()
        try:
            body = await self._send(prompt)
            reply = read_reply(request, prompt, body, round(time.perf_counter() - start, 3))
        except openai.APIStatusError as error:
            self._raise_where_hopeless(error)
            return self._failure(request, _message(error), error.status_code)
        except openai.APITimeoutError:
            return self._failure(request, f"no reply within {self._server.timeout:g} s")
        except openai.APIConnectionError as error:
            return self._failure(request, f"no connection: {_cause(error)}")
        except (openai.OpenAIError, ValueError) as error:  # no JSON, or none of a chat
            return self._failure(request, f"the reply cannot be read: {first_line(error)}")
        self._answered, self._failed_in_row = True, 0
        return reply._replace(answer=without(self._key, reply.answer, in_answer=True))

    async def _send(self, prompt: Prompt) -> Any:
        """The server's reply, as JSON. Asks again where it calls the answer's length otherwise."""
        import openai

        field = self._token_field
        body = chat_body(prompt, self._server.model, self._sampling, field)
        try:
            return await self._post(body)
        except openai.BadRequestError as error:
            other = _FIELDS[1 - _FIELDS.index(field)]
            if self._server.token_field != "auto" or other not in _message(error):
                raise
            if self._token_field == field:
                self._token_field = other
                self._say(f"the server takes {other} instead of {field}")
            body[other] = body.pop(field)
            return await self._post(body)

    async def _post(self, body: dict[str, Any]) -> Any:
        known = {name: body[name] for name in ("model", "messages")}
        rest = {name: value for name, value in body.items() if name not in known}
        create = self._client.chat.completions.with_raw_response.create
        response = await create(**known, extra_body=rest)
        return response.http_response.json()

    def _failure(self, request: Request, error: str, status: int | None = None) -> Failure:
        self._failed_in_row += 1
        return Failure(request, "ask", without(self._key, error), status)

    def _give_up_where_gone(self, outcome: Outcome) -> None:
        limit = self._server.limit_errors
        if isinstance(outcome, Failure) and 0 < limit <= self._failed_in_row:
            raise self._error(
                f"gave up on {self._url} after {self._failed_in_row} failures in a row, the last: "
                f"{outcome.error}. What was answered stays, and the same command does the rest; "
                "--limit-errors 0 never gives up"
            )

    def _raise_where_hopeless(self, error: openai.APIStatusError) -> None:
        """Raise where the next request would fare no better: the key, the address, the model."""
        message, status = _message(error), error.status_code
        if status in (401, 403):
            raise self._refused(status, message)
        unknown_model = self._served and self._server.model not in self._served
        if status == 404 or (status == 400 and unknown_model and not self._answered):
            models = f"; it serves: {', '.join(self._served)}" if self._served else ""
            raise self._error(
                f"{self._url} does not answer for --model {self._server.model} ({status}: "
                f"{message}){models}. Check --model, and that --base-url ends as the server wants "
                "it, usually in /v1"
            )
        if status == 400 and "temperature" in message and not self._answered:
            raise self._error(
                f"{self._url} will not have this temperature ({status}: {message}); "
                "--temperature none leaves it to the server"
            )

    def _refused(self, status: int, message: str) -> ServerError:
        variable = self._server.api_key_env
        way_out = (
            f"put the right one into ${variable}, or name another variable with --api-key-env"
            if self._key
            else f"${variable} is not set: set it, or name another variable with --api-key-env"
        )
        return self._error(f"{self._url} refuses the key ({status}: {message}); {way_out}")

    async def _list_models(self) -> None:
        """Note what the server serves, where it tells."""
        import openai

        try:
            quick = self._client.with_options(
                timeout=min(_SECONDS_FOR_MODELS, self._server.timeout),
                max_retries=min(2, self._server.retries),
            )
            response = await quick.models.with_raw_response.list()
            models = response.http_response.json()["data"]
            self._served = tuple(str(model["id"]) for model in models)
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise self._refused(error.status_code, _message(error)) from None
        except openai.APITimeoutError:
            pass  # it may be busy
        except openai.APIConnectionError as error:
            raise self._error(
                f"cannot reach {self._url}: {_cause(error)}. Is the server running, and is this "
                "its --base-url?"
            ) from None
        except (openai.OpenAIError, ValueError, TypeError, LookupError):
            pass  # a server need not have this route

    def _error(self, message: str) -> ServerError:
        return ServerError(without(self._key, message))

    @property
    def _url(self) -> str:
        return shown_url(self._server.base_url)


class _Pace:
    """Lets requests begin at even distances."""

    def __init__(self, rpm: float) -> None:
        self._distance = 60 / rpm
        self._next = 0.0

    async def __call__(self, request: object) -> None:
        now = time.monotonic()
        begin = max(now, self._next)
        self._next = begin + self._distance
        await asyncio.sleep(begin - now)


def _open_client(server: Server, key: str | None) -> openai.AsyncOpenAI:
    try:
        import openai
    except ImportError:
        raise UsageError(
            "asking a server needs the openai package: pip install 'apiprompt[ask]'"
        ) from None
    hooks: dict[str, list[Callable[..., Any]]] = {}
    if server.rpm is not None:
        hooks["request"] = [_Pace(server.rpm)]
    return openai.AsyncOpenAI(
        base_url=server.base_url,
        api_key=key or "none",  # servers of one's own want no key, but the client does
        timeout=server.timeout,
        max_retries=server.retries,
        http_client=openai.DefaultAsyncHttpxClient(event_hooks=hooks),
    )


def _message(error: openai.APIStatusError) -> str:
    """What the server says, on one line."""
    body = error.body
    said = body.get("message") or body.get("detail") if isinstance(body, dict) else body
    return " ".join(str(said or error.message).split())[:500]


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
