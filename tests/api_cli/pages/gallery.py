"""A set with hostile texts, runs of it by the demo CLIP, and answers about them."""

from __future__ import annotations

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from api_cli.cli import app
from tests.answers import write_answers
from tests.conftest import read_json_lines, write_json_lines

HOSTILE = {
    "<script>alert('key')</script>": "<script>document.title='owned'</script> what is it?",
    "</script><b>bold": "</script><img src=https://evil.example/a.png onerror=alert(1)>?",
    "a \"quoted\" & 'key' \\": '" onmouseover="alert(1)" \' {{data}} {{script}} ${1+1} &lt;i&gt;?',
    "\u202eright to left": "\u05de\u05d4 \u05d4\u05e6\u05d1\u05e2\u202e? <!-- \u2028 -->",
    "\U0001f408\u200d\u2b1b cat": "Is this \U0001f408\u200d\u2b1b or \U0001f469\u200d\U0001f680?",
    "k" * 10_000: "q" * 10_000,
}
NAMES = ("square", "wide", "tall", "grey", "palette", "rotated")
ANSWER = "<img src=x onerror=alert(2)></script>\u202e\U0001f600"


class Gallery(NamedTuple):
    """What was made.

    Attributes:
        root: the folder of all of it.
        pictures: the dataset.
        runs: two run folders, of contrast 2 and 8; the first has answers.
        keys: of the samples, in the dataset's order; the last one's picture is damaged.
    """

    root: Path
    pictures: Path
    runs: list[Path]
    keys: list[str]


def command(*words: object, status: int = 0) -> str:
    """Run the program in this process; return its stdout."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    said = result.stderr or result.exception
    assert (result.exit_code == status) or status == getattr(
        result.exception, "exit_status", None
    ), said
    return result.stdout


def refusal(*words: object) -> str:
    """What the program says where it refuses."""
    return str(CliRunner().invoke(app, [str(word) for word in words]).exception)


def make_gallery(root: Path, photographs: dict[str, Path]) -> Gallery:
    """Mask the set twice, answer about masked pictures and originals, and score."""
    pictures = root / "pictures"
    pictures.mkdir()
    rows = []
    for number, (key, question) in enumerate(HOSTILE.items()):
        file = photographs[NAMES[number]]
        (pictures / f"{number}{file.suffix}").write_bytes(file.read_bytes())
        name = f"{number}{file.suffix}"
        rows.append({"file_name": name, "key": key, "question": question, "answer": "two"})
    damaged = photographs["wide"].read_bytes()[:3000]
    (pictures / "damaged.jpg").write_bytes(damaged)
    rows.append({"file_name": "damaged.jpg", "key": "damaged", "question": "?", "answer": "two"})
    kinds = ["<b>animals</b>", "things"]
    write_json_lines(
        pictures / "metadata.jsonl",
        [row | {"category": kinds[number % 2]} for number, row in enumerate(rows)],
    )
    stdout = command(
        *("clip", "--dataset", "imagefolder", "--data-root", pictures, "--model-name", "demo"),
        *("--output-folder", root / "out", "--enhance-coe", "2,8", "--format", "png", "--quiet"),
        status=3,
    )
    runs = [Path(line) for line in stdout.splitlines()]
    keys = [row["key"] for row in rows]
    manifest = sorted(read_json_lines(runs[0] / "metadata.jsonl"), key=lambda row: row["index"])
    # the first is won, the second lost, the third the same, the fourth failed, the rest not asked
    masked = write_answers(
        runs[0], manifest[:5], dict(zip(keys, ("two", ANSWER, "two"), strict=False)),
        dataset="imagefolder",
    )  # fmt: skip
    error = {"key": keys[3], "stage": "ask", "error": "TimeoutError: <b>the server</b> was silent"}
    write_json_lines(masked / "errors.jsonl", [error])
    plain = write_answers(
        root / "out" / "PLAIN_imagefolder-01234567", manifest[:5],
        dict(zip(keys, ("three", "two", "two", "two", "two"), strict=False)), dataset="imagefolder",
    )  # fmt: skip
    command("score", masked, plain, "--partial", "--quiet")
    return Gallery(root, pictures, runs, keys)


class Page(HTMLParser):
    """A page as a reader's parser sees it.

    Attributes:
        elements: tag and attributes of each element, in order.
        texts: what stands in each `script` and `style`, and in the title, in order.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open = False
        self.content = path.read_text(encoding="utf-8")
        self.feed(self.content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag in ("script", "style", "title")
        if self._open:
            self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, before = self.texts[-1]
            self.texts[-1] = (tag, before + data)

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script makes cards of."""
        [data] = [
            text for (tag, text), attributes in zip(self.texts, self._of_texts, strict=True)
            if attributes.get("id") == "data"
        ]  # fmt: skip
        return dict(json.loads(data))

    @property
    def policy(self) -> str:
        """Its Content-Security-Policy."""
        [policy] = [
            attributes["content"]
            for tag, attributes in self.elements
            if attributes.get("http-equiv") == "Content-Security-Policy"
        ]
        return policy or ""

    @property
    def _of_texts(self) -> list[dict[str, str | None]]:
        return [a for tag, a in self.elements if tag in ("script", "style", "title")]


def make_older(path: Path) -> None:
    """Let a file seem to be a minute old."""
    time = path.stat().st_mtime - 60
    os.utime(path, (time, time))
