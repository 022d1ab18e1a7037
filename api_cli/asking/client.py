"""Many requests to one server that speaks OpenAI's chat dialect, some at a time.

The `openai` client does the talking, its retries and time-outs; here is what it has not: a window
of requests over an iterator, a pace, and when to give up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api_cli.asking.body import chat_body, read_reply
from api_cli.asking.exchange import Failure, Prompt, Reply, Request, Sampling
from api_cli.asking.refusal import cause_of, message_of, why_hopeless
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
) -> Generator[Outcome, None, None]:
    """`ask_in_groups`, one by one."""
    with closing(ask_in_groups(requests, server, sampling, say)) as groups:
        for group in groups:
            yield from group


def ask_in_groups(
    requests: Iterable[Request],
    server: Server,
    sampling: Sampling,
    say: Callable[[str], None] = lambda line: None,
) -> Generator[list[Outcome], None, None]:
    """Ask every request, and yield what becomes of each, in the order in which that is known.

    What is known at the same time comes together, so that it can be written together.

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
        # not the runner's own `run`, which sets signals anew each time, at a cost
        step = runner.get_loop().run_until_complete
        try:
            step(talk.begin())
            while outcomes := step(talk.next()):
                known = [o for o in outcomes if not isinstance(o, BaseException)]
                if known:
                    yield known
                for error in outcomes[len(known) :]:  # at most one, the last
                    assert isinstance(error, BaseException)
                    raise error
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
                continue
            some.append(outcome)
            await asyncio.sleep(0)  # others that are known as well
        return some

    async def end(self) -> None:
        """Give up what is in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _watch(self, workers: list[asyncio.Task[None]]) -> None:
        """Say when all is done, or what ended it, after what is known by then."""
        done, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        errors = [error for task in done if (error := task.exception()) is not None]
        for error in errors[:1]:
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
            return self._failure(request, message_of(error), error.status_code)
        except openai.APITimeoutError:
            return self._failure(request, f"no reply within {self._server.timeout:g} s")
        except openai.APIConnectionError as error:
            return self._failure(request, f"no connection: {cause_of(error)}")
        except (openai.OpenAIError, ValueError) as error:  # no JSON, or none of a chat
            return self._failure(request, f"the reply cannot be read: {first_line(error)}")
        self._answered, self._failed_in_row = True, 0
        return reply._replace(
            answer=self._clean(reply.answer) or "",
            finish_reason=self._clean(reply.finish_reason),
            model=self._clean(reply.model),
        )

    def _clean(self, text: str | None) -> str | None:
        return text and without(self._key, text, in_answer=True)

    async def _send(self, prompt: Prompt) -> Any:
        """The server's reply, as JSON. Asks again where it calls the answer's length otherwise."""
        import openai

        field = self._token_field
        body = chat_body(prompt, self._server.model, self._sampling, field)
        try:
            return await self._post(body)
        except openai.BadRequestError as error:
            other = _FIELDS[1 - _FIELDS.index(field)]
            if self._server.token_field != "auto" or other not in message_of(error):
                raise
            if self._token_field == field:
                self._token_field = other
                self._say(f"the server takes {other} instead of {field}")
            body[other] = body.pop(field)
            return await self._post(body)

    async def _post(self, body: dict[str, Any]) -> Any:
        create = self._client.chat.completions.with_raw_response.create
        # messages go with the rest, which the client sends as it is: to look through them for
        # what it could transform costs it a third of its time
        response = await create(model=self._server.model, messages=[], extra_body=body)
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
        variable = self._server.api_key_env
        key = (
            f"put the right one into ${variable}, or name another variable with --api-key-env"
            if self._key
            else f"${variable} is not set: set it, or name another variable with --api-key-env"
        )
        why = why_hopeless(
            error,
            self._server.base_url,
            self._server.model,
            key=key,
            served=self._served,
            answered=self._answered,
        )
        if why is not None:
            raise self._error(why) from None

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
            self._raise_where_hopeless(error)
        except openai.APITimeoutError:
            pass  # it may be busy
        except openai.APIConnectionError as error:
            raise self._error(
                f"cannot reach {self._url}: {cause_of(error)}. Is the server running, and is this "
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
