"""What stands in for what pages name and a test has not: sets, checkpoints of the hub, servers.

Pages are run as they stand but for the words replaced here.
"""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from PIL import Image

from tests import hub_copies, layouts
from tests.conftest import write_json_lines

OWN = [f"{name}{number}" for number in range(4) for name in ("square", "wide", "tall")]
VARIABLES = {
    "APIPROMPT_MODEL_NAME": "demo",  # for the large models that every set but `demo` gets
    "APIPROMPT_RANGE": "0 12",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENAI_API_KEY": "none",
    "COLUMNS": "100",
}
_WORDS = {
    "ViT-L-14-336_22": "demo_3",
    '"ViT-L-14-336"': '"demo", layer_index=-2',  # of the library
    '"llava-v1.5-7b"': '"demo", layer_index=None',
    "llava-hf/llava-1.5-7b-hf": "demo",
    "--config autov": "--config autov --layer-index 1,2",
    "--data-root /data": "--data-root dataset",
    "{000..009}": "{000..000}",
    "--layer-index 20,21,22": "--layer-index 1,2,3",
    "Qwen/Qwen2.5-VL-7B-Instruct": "demo",
    "--model-name 7b": "--model-name demo",
    "--model-name 13b": "--model-name demo",
    "--precision bf16": "--precision fp32",
    "--batch-size auto": "--batch-size 4",
}
_SERVERS = (
    "http://localhost:8000/v1",
    "http://localhost:30000/v1",
    "https://api.openai.com/v1",
)


def stand_in(text: str, url: str) -> str:
    """A page with what a test has not replaced; servers by the one at `url`."""
    for shown, instead in (*_WORDS.items(), *((server, url) for server in _SERVERS)):
        text = text.replace(shown, instead)
    return text


def furnish(folder: Path, photographs: dict[str, Path]) -> None:
    """Put small copies of sets, and a reader's own pictures and files, where pages have them."""
    root = folder / "dataset"
    layouts.write_mm_vet(root / "mm-vet", photographs)
    layouts.write_llava_wild(root / "LLaVA_Wild" / "llava-bench-in-the-wild", photographs)
    layouts.write_vstar(root / "vstar", photographs)
    layouts.write_pope(root / "POPE", photographs)
    pictures = [photographs[name].read_bytes() for name in ("square", "wide")]
    hub_copies.write_gqa(folder / "copies" / "GQA", pictures)
    for name in ("my_images", "photos"):
        own = folder / name
        own.mkdir()
        for number, key in enumerate(OWN):
            picture = Image.open(photographs[key.rstrip("0123456789")]).convert("RGB")
            picture.rotate(number).save(own / f"{key}.jpg")
    rows = [
        {
            "file_name": f"{key}.jpg",
            "question": "What is this?",
            "answer": "a red cat",
            "bbox": [9, 9, 90, 90],
        }
        for key in OWN
    ]
    write_json_lines(folder / "my_images" / "metadata.jsonl", rows)
    for name in ("photo.jpg", "cat.jpg"):
        shutil.copy(folder / "photos" / "wide0.jpg", folder / name)
    (folder / "my_package").mkdir()
    (folder / "my_package" / "sets.py").write_text(
        "from datasets_manager import loader\n@loader\ndef load(root, options): return []\n"
    )
    (folder / "my_prompt.yaml").write_text('system: Be brief.\ntext: "{question}"\n')
    (folder / "shards").mkdir()
    with tarfile.open(folder / "shards" / "000.tar", "w") as tar:
        for suffix in ("jpg", "json"):
            path = folder / f"sample.{suffix}"
            if suffix == "json":
                path.write_text(json.dumps({"question": "What is this?"}))
            else:
                shutil.copy(folder / "cat.jpg", path)
            tar.add(path, path.name)
            path.unlink()


class _Model(BaseHTTPRequestHandler):
    """Answers whatever it is asked, and judges whatever it is shown."""

    def do_GET(self) -> None:
        names = ("llava-1.5-7b", "llava-1.5-13b", "gpt-4o", "gpt-4-0613")
        self._reply({"data": [{"id": name} for name in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        pictures = '"image_url"' in json.dumps(body)
        message = {"role": "assistant", "content": "a red cat" if pictures else "0.5"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        self._reply({"id": "1", "model": body["model"], "choices": choices})

    def _reply(self, content: Any) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def model_server() -> Iterator[str]:
    """The URL of a server of OpenAI's dialect."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Model) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
