"""Who answers: a server, or a model in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import asdict
from typing import Any, Protocol

from api_cli.asking.body import chat_body
from api_cli.asking.client import Outcome, Server, ask_in_groups
from api_cli.asking.exchange import Prompt, Request, Sampling
from api_cli.asking.secrets import shown_url
from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.ask import AskConfig


class Backend(Protocol):
    """What asking needs to know of who answers.

    Attributes:
        model_name: names the folders of answers.
        record: what else ask.yaml says of it.
        packages: whose versions it notes.
    """

    model_name: str
    record: dict[str, Any]
    packages: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """What shapes its answers."""
        ...

    def answers(self, requests: Iterable[Request]) -> Generator[list[Outcome], None, None]:
        """What becomes of each request, as that is known, in groups."""
        ...

    def body(self, prompt: Prompt) -> dict[str, Any]:
        """A request as a batch file has it. Raises UsageError where it takes none."""
        ...


def backend_of(config: AskConfig, console: Console) -> Backend:
    """That of the configuration. Raises ApipromptError where something is missing."""
    if config.model is None:
        raise UsageError(
            "--model NAME: which model is to answer? (as the server knows it; with --backend hf a "
            "hub id, a folder, or demo)"
        )
    temperature = None if isinstance(config.temperature, str) else config.temperature
    sampling = Sampling(
        config.max_tokens, temperature, config.seed, config.detail, config.extra_body
    )
    if config.backend == "server":
        return _ServerBackend(config, config.model, sampling, console)
    for flag in ("detail", "extra_body", "base_url", "export_batch"):
        if getattr(config, flag):
            raise UsageError(f"--{flag.replace('_', '-')} is a server's: not with --backend hf")
    from api_cli.asking.local import LocalModel

    return LocalModel(config.model, sampling, config.device, config.precision, config.batch_size)


class _ServerBackend:
    """A server that speaks OpenAI's chat dialect, or batch files for one."""

    def __init__(self, config: AskConfig, model: str, sampling: Sampling, console: Console) -> None:
        offline = config.export_batch is not None or config.import_batch or config.dry_run
        if config.base_url is None and not offline:
            raise UsageError(
                "--base-url URL: where is the server? Such as http://localhost:8000/v1 for vLLM, "
                "http://localhost:11434/v1 for Ollama, https://api.openai.com/v1; or --backend hf "
                "for a model in this process"
            )
        self.model_name = model
        self.settings: dict[str, Any] = {"backend": "server", "model": model, **asdict(sampling)}
        self.record = {} if config.base_url is None else {"server": shown_url(config.base_url)}
        self.packages: tuple[str, ...] = ("openai",)
        self._sampling = sampling
        self._token_field = config.token_field
        self._say = console.warn
        self._server = Server(
            config.base_url or "",
            model,
            config.api_key_env,
            config.concurrency,
            config.rpm,
            config.timeout,
            config.retries,
            config.token_field,
            config.limit_errors,
        )

    def answers(self, requests: Iterable[Request]) -> Generator[list[Outcome], None, None]:
        yield from ask_in_groups(requests, self._server, self._sampling, self._say)

    def body(self, prompt: Prompt) -> dict[str, Any]:
        # nobody there to be asked: the name that all take who take batches
        field = "max_completion_tokens" if self._token_field == "auto" else self._token_field
        return chat_body(prompt, self.model_name, self._sampling, field)
