"""Batch files: requests that are answered later and elsewhere, in OpenAI's lines.

OpenAI's batches and `vllm run-batch` take them: a line a request, at most 50,000 lines and 200 MB
a file, one model; the answers come in any order, failures perhaps in a file of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from api_cli.asking.body import PATH, read_reply
from api_cli.asking.client import Outcome
from api_cli.asking.exchange import Failure, Prompt, Request
from api_cli.console import Console
from api_cli.errors import UsageError, first_line
from api_cli.runs.ledger import to_line
from api_cli.runs.names import digest_text

MAX_BYTES = 200_000_000
MAX_LINES = 50_000

_PREFIX = "requests-"


def export_batch(
    folder: Path,
    requests: Iterable[Request],
    body: Callable[[Prompt], dict[str, Any]],
    console: Console,
    max_bytes: int = MAX_BYTES,
    max_lines: int = MAX_LINES,
) -> list[Path]:
    """Write the requests; what cannot be read is named and left out.

    Args:
        folder: made if need be; must hold no requests yet.
        requests: what to ask; `tag.title` says of which pictures, in which settings.
        body: of a request, from its prompt.
        console: for messages.
        max_bytes: of a file.
        max_lines: of a file.

    Returns:
        The files.

    Raises:
        UsageError: where the folder holds requests of another time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if there := sorted(folder.glob(f"{_PREFIX}*.jsonl")):
        raise UsageError(
            f"--export-batch {folder}: {there[0].name} is there already, and may have been sent; "
            "name another folder, or delete it"
        )
    files: list[Path] = []
    lines = size = total = failed = 0
    for request in requests:
        try:
            prompt = request.prompt()
        except Exception as error:  # whatever a picture's file holds ends the sample, not the run
            console.warn(f"{request.key} is left out: {type(error).__name__}: {error}")
            failed += 1
            continue
        line = to_line(
            {
                "custom_id": custom_id(request, prompt),
                "method": "POST",
                "url": f"/v1{PATH}",
                "body": body(prompt),
            }
        )
        if not files or lines == max_lines or size + len(line) > max_bytes:
            files.append(folder / f"{_PREFIX}{len(files) + 1:04d}.jsonl")
            lines = size = 0
        with files[-1].open("ab") as file:
            file.write(line)
        lines, size, total = lines + 1, size + len(line), total + 1
    left_out = f", {failed} left out" if failed else ""
    console.say(f"{total} requests in {len(files)} files in {folder}{left_out}")
    return files


def import_batch(
    paths: Sequence[Path], requests: Iterable[Request], console: Console
) -> Iterator[Outcome]:
    """What the files say of each request; a request that they do not name has failed.

    Args:
        paths: output and error files, or folders of them.
        requests: what was asked, as for `export_batch`.
        console: for messages.

    Raises:
        UsageError: where a file cannot be read, or is none of answers.
    """
    files = [file for path in paths for file in _output_files(path)]
    expected: dict[str, tuple[Request, Prompt]] = {}
    for request in requests:
        try:
            prompt = request.prompt()
        except Exception as error:  # as when they were written
            yield Failure(request, "read", f"{type(error).__name__}: {error}")
            continue
        slim = tuple(picture._replace(content=b"") for picture in prompt.pictures)
        expected[custom_id(request, prompt)] = request, prompt._replace(pictures=slim)
    strange = 0
    for line in (line for file in files for line in _read(file)):
        if (known := expected.pop(line["custom_id"], None)) is None:
            strange += 1
        else:
            yield _outcome(*known, line)
    if strange:
        console.warn(
            f"{strange} lines answer nothing that is asked here: other folders, settings or "
            "pictures, or answered already"
        )
    for request, _ in expected.values():
        yield Failure(request, "ask", "the batch's files do not name it")


def custom_id(request: Request, prompt: Prompt) -> str:
    """A request's id: its key, for people, and a digest of all that is sent, and for whom."""
    pictures = [picture.sha256 for picture in prompt.pictures]
    words = [request.tag.title, request.key, prompt.system, prompt.text, *pictures]
    return f"{request.key[:40]}-{digest_text(json.dumps(words))}"


def _outcome(request: Request, prompt: Prompt, line: dict[str, Any]) -> Outcome:
    response = line.get("response") or {}
    status = response.get("status_code")
    error = line.get("error")
    if error or status != 200:
        body = response.get("body")
        return Failure(request, "ask", f"in the batch: {error or body or 'no response'}", status)
    try:
        return read_reply(request, prompt, response.get("body"))
    except ValueError as unreadable:
        return Failure(request, "ask", f"the reply cannot be read: {first_line(unreadable)}")


def _output_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(f for f in path.glob("*.jsonl") if not f.name.startswith(_PREFIX))
    if not files:
        raise UsageError(f"--import-batch {path}: no *.jsonl with answers in that folder")
    return files


def _read(path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        with path.open("rb") as file:
            for text in file:
                number += 1
                if text.strip():
                    line = json.loads(text)
                    line["custom_id"], line["response"]
                    yield line
    except OSError as error:
        raise UsageError(f"--import-batch {path}: {error.strerror}") from None
    except (ValueError, LookupError, TypeError):
        raise UsageError(
            f"--import-batch {path}, line {number}: no answer of a batch (custom_id, response); "
            "give the output and error files, not the requests"
        ) from None
