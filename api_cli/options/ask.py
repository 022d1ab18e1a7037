"""What `apiprompt ask` can be told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api_cli.options import parsers
from api_cli.options.config import DATA, MODEL, OUTPUT, RUN
from api_cli.options.data import DataConfig
from api_cli.options.option import option

SERVER, LOCAL, PROMPT = "Server", "Model in this process (--backend hf)", "Prompt"


@dataclass(frozen=True, kw_only=True)
class AskConfig(DataConfig):
    """Configuration of `apiprompt ask`."""

    command = "ask"

    runs: tuple[Path, ...] = option(
        DATA,
        (),
        parsers.several(parsers.path),
        "RUN...",
        "Run folders, or folders that hold some; none to ask about the originals of --dataset.",
    )
    dataset: str = option(
        DATA,
        "demo",
        parsers.dataset,
        "NAME",
        "Dataset whose originals are asked about, where no RUN is named.",
    )
    plain: bool = option(
        DATA, False, parsers.switch, "", "Ask about the runs' originals as well, once for all runs."
    )
    image_format: str = option(
        DATA,
        "as-is",
        parsers.one_of("as-is", "jpg", "png", "webp"),
        "NAME",
        "How pictures are sent: as-is (a run's bytes as they stand there, its originals encoded as "
        "it encodes, jpg without one), jpg, png or webp.",
    )
    max_side: int | None = option(
        DATA,
        None,
        parsers.integer(1),
        "PIXELS",
        "Make pictures smaller whose longer side has more.",
        "as they are",
    )
    backend: str = option(
        MODEL,
        "server",
        parsers.one_of("server", "hf"),
        "NAME",
        "Who answers: server (OpenAI's chat dialect), or hf (transformers, in this process).",
    )
    model: str | None = option(
        MODEL,
        None,
        parsers.text,
        "NAME",
        "As the server knows it; with --backend hf a hub id, a folder or demo.",
        "",
    )
    max_tokens: int = option(
        MODEL, 128, parsers.integer(1), "N", "Length of an answer at most, in tokens."
    )
    temperature: float | str = option(
        MODEL,
        0,
        parsers.word_or("none", parsers.number),
        "X",
        "0 for the likeliest answer; none leaves it to the server.",
    )
    seed: int | None = option(
        MODEL, None, parsers.any_integer, "N", "For answers that are drawn.", ""
    )
    prompt: str = option(
        PROMPT,
        "plain",
        parsers.text,
        "NAME|FILE",
        "plain, hint, step_by_step, with_original, iterative, or a YAML file like theirs.",
    )
    answers_of: str | None = option(
        PROMPT,
        None,
        parsers.text,
        "NAME|FOLDER",
        "Answers of a first round that the prompt shows: a folder, or its name below answers/.",
        "",
    )
    base_url: str | None = option(
        SERVER, None, parsers.text, "URL", "Such as http://localhost:8000/v1.", ""
    )
    api_key_env: str = option(
        SERVER, "OPENAI_API_KEY", parsers.text, "NAME", "Variable that holds the key, if any."
    )
    concurrency: int = option(
        SERVER, 16, parsers.integer(1, 1000), "N", "Requests at a time at most."
    )
    rpm: float | None = option(
        SERVER, None, parsers.positive, "N", "Requests a minute at most.", "no limit"
    )
    timeout: float = option(
        SERVER, 600, parsers.positive, "SECONDS", "How long the server may be silent."
    )
    retries: int = option(
        SERVER, 5, parsers.integer(0), "N", "Of a request, where the server is busy or fails."
    )
    limit_errors: int = option(
        SERVER,
        20,
        parsers.integer(0),
        "N",
        "Failures in a row after which the server counts as gone; 0 for never.",
    )
    token_field: str = option(
        SERVER,
        "auto",
        parsers.one_of("auto", "max_tokens", "max_completion_tokens"),
        "NAME",
        "What the server calls --max-tokens; auto finds out.",
    )
    detail: str | None = option(
        SERVER, None, parsers.text, "NAME", "Of pictures: low, high, auto.", "the server's"
    )
    extra_body: dict[str, Any] | None = option(
        SERVER, None, parsers.json_object, "JSON", "Further fields of each request.", ""
    )
    export_batch: Path | None = option(
        SERVER,
        None,
        parsers.path,
        "DIR",
        "Write the requests as OpenAI's batch files instead (also for `vllm run-batch`).",
        "",
    )
    import_batch: tuple[Path, ...] = option(
        SERVER,
        (),
        parsers.several(parsers.path),
        "FILE,...",
        "Take the answers from a batch's output and error files, or folders of them.",
        "",
    )
    batch_size: int = option(
        LOCAL, 8, parsers.integer(1), "N", "Questions together; halved where memory does not do."
    )
    precision: str = option(
        LOCAL,
        "auto",
        parsers.one_of("auto", "fp32", "bf16", "fp16"),
        "NAME",
        "fp32, bf16, fp16, or auto for that of the stored weights.",
    )
    device: str = option(LOCAL, "auto", parsers.text, "NAME", "auto, cpu, cuda, cuda:1, mps, ...")
    output_folder: Path = option(
        OUTPUT,
        Path("experiments"),
        parsers.path,
        "DIR",
        "Folder for answers about --dataset's originals; those about a run's lie beside the run.",
    )
    shard: tuple[int, int] = option(
        RUN, (0, 1), parsers.shard, "I/N", "Ask every N-th question from the I-th on.", "0/1"
    )
    dry_run: bool = option(
        RUN, False, parsers.switch, "", "Say what would be asked, and ask nothing."
    )
    quiet: bool = option(RUN, False, parsers.switch, "", "Errors only.")

    def to_dict(self) -> dict[str, Any]:
        """Field names to values of YAML's own types."""
        several = {name: [str(path) for path in getattr(self, name)] or None for name in _SEVERAL}
        return super().to_dict() | several | {"shard": "/".join(map(str, self.shard))}


_SEVERAL = ("runs", "import_batch")
