"""`apiprompt ask` against the bare `openai` client: CPU time a request, and memory over requests.

Each side runs in a process of its own against a server that answers at once, so that what is
measured is the client: 80 kB a picture, 16 requests at a time.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from experiments.bench.peak import peak_megabytes

Row = dict[str, Any]

CONCURRENCY = 16
BYTES = 80_000

_REPLY = json.dumps(
    {
        "model": "null",
        "choices": [{"message": {"content": "blue"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 1},
    }
).encode()


def measure(few: int, many: int) -> list[Row]:
    """Both sides over few and many questions; what is between them counts, without the start."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        picture = _write_picture(root / "picture.jpg")
        server = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, "serve"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            for number in (few, many):
                run = _write_run(root / f"{number}" / "APICLIP_x_m_1" / "5", picture, number)
                for side in ("bare", "ask"):
                    command = [sys.executable, "-m", __spec__.name, side, url, str(run)]
                    done = subprocess.run(command, check=True, capture_output=True, text=True)
                    rows.append({"side": side, "questions": number} | json.loads(done.stdout))
        finally:
            server.kill()
    table = []
    for bare, ask, more_bare, more_ask in [rows]:
        cost = {
            row["side"]: 1e3 * (more["CPU s"] - row["CPU s"]) / (many - few)
            for row, more in ((bare, more_bare), (ask, more_ask))
        }
        for row in rows:
            side = str(row["side"])
            table.append(row | {"CPU ms a request": cost[side], "ratio": cost[side] / cost["bare"]})
    return table


def _write_picture(path: Path) -> Path:
    """A JPEG of about `BYTES`."""
    noise = np.random.default_rng(0).integers(0, 255, (336, 336, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    quality = 95
    while quality > 5:
        image.save(path, quality=quality)
        if path.stat().st_size <= BYTES:
            break
        quality -= 3
    with path.open("ab") as file:  # what follows a picture's end is no part of it
        file.write(b"\0" * (BYTES - path.stat().st_size))
    return path


def _write_run(run: Path, picture: Path, number: int) -> Path:
    """A run folder of links to one picture, with a question each."""
    run.mkdir(parents=True)
    with (run / "metadata.jsonl").open("w") as manifest:
        for i in range(number):
            os.link(picture, run / f"{i}.jpg")
            row = {"file_name": f"{i}.jpg", "key": str(i), "index": i, "question": f"What is {i}?"}
            manifest.write(json.dumps(row | {"answer": "blue", "category": "colour"}) + "\n")
    record = {"config": {"dataset": "demo"}, "settings": {"dataset": "demo", "format": "jpg"}}
    (run / "run.yaml").write_text(yaml.safe_dump(record))
    return run


def _ask(url: str, run: Path) -> None:
    from api_cli.asking.ask import ask
    from api_cli.console import Console
    from api_cli.options.ask import AskConfig

    config = AskConfig(runs=(run,), model="null", base_url=url, concurrency=CONCURRENCY)
    report = ask(config, Console(quiet=True))
    assert not report.failed


async def _bare(url: str, run: Path) -> None:
    """The openai client and nothing else: a picture is read, sent, and its answer kept."""
    import openai

    answers = {}
    rows = iter((run / "metadata.jsonl").read_text().splitlines())
    async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

        async def work(lines: Iterator[str]) -> None:
            for line in lines:
                row = json.loads(line)
                text = base64.b64encode((run / row["file_name"]).read_bytes()).decode()
                reply = await client.chat.completions.create(
                    model="null",
                    messages=[
                        {
                            "role": "user",
                            "content": [
                                {
                                    "type": "image_url",
                                    "image_url": {"url": f"data:image/jpeg;base64,{text}"},
                                },
                                {"type": "text", "text": row["question"]},
                            ],
                        }
                    ],
                    max_tokens=128,
                    temperature=0,
                )
                answers[row["key"]] = reply.choices[0].message.content

        await asyncio.gather(*(work(rows) for _ in range(CONCURRENCY)))
    assert set(answers.values()) == {"blue"}


async def _serve() -> None:
    """Read a request, answer at once."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                request = (await reader.readuntil(b"\r\n\r\n")).lower()
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                return
            _, _, length = request.partition(b"content-length: ")
            await reader.readexactly(int(length.split(b"\r\n")[0] or 0))
            writer.write(head % len(_REPLY) + _REPLY)

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**20)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


def _main(side: str, *arguments: str) -> None:
    if side == "serve":
        asyncio.run(_serve())
        return
    url, run = arguments
    if side == "ask":
        _ask(url, Path(run))
    else:
        asyncio.run(_bare(url, Path(run)))
    print(json.dumps({"CPU s": time.process_time(), "peak MB": peak_megabytes()}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
