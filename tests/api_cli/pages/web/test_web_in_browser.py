"""The page in a real browser: a picture, a question, sliders, and what is taken home from it."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.api_cli.pages.browser import DESK, PHONE, lacking
from tests.conftest import clean_environment

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process]
PATIENCE = 120_000  # milliseconds, on a busy machine

LACKING = lacking() if find_spec("gradio") else "gradio is not installed: pip install '.[web]'"
if LACKING and not os.environ.get("REQUIRE_BROWSER"):
    pytest.skip(f"the page's tests were not run: {LACKING}", allow_module_level=True)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's, served by a process; nothing of its visitors is left at the end."""
    folder = tmp_path_factory.mktemp("served")
    words = [sys.executable, "-m", "api_cli", "web", "--port", "0", "--max-megapixels", "2"]
    environment = clean_environment() | {"TMPDIR": str(folder)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            pytest.fail(f"no page: {said}")
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert list(folder.glob("apiprompt-web-*")) == []


class Page:
    """The page in a browser, by what is on it."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": DESK, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address, wait_until="domcontentloaded")
        self.page.wait_for_selector("#ask")

    def pick(self, number: int = 0) -> None:
        self.page.locator("#examples .thumbnail-item, #examples .gallery-item").nth(number).click()
        self.page.wait_for_selector("#original img")

    def ask(self) -> None:
        self.page.click("#ask")
        self.page.wait_for_selector("#masked img")

    def source(self) -> str:
        return str(self.page.locator("#masked img").get_attribute("src"))

    def command(self) -> str:
        return str(self.page.locator("#command textarea").input_value())

    def slide(self, label: str, value: float) -> None:
        """Move a slider; return when there is another picture."""
        before = self.source()
        number = self.page.get_by_label(f"number input for {label}")
        number.fill(str(value))
        number.press("Enter")
        self.page.wait_for_function(
            "before => document.querySelector('#masked img').src != before", arg=before
        )

    def choose(self, label: str, value: str) -> None:
        self.page.get_by_label(label, exact=True).click()
        self.page.get_by_role("option", name=value, exact=True).click()

    def upload(self, path: Path) -> None:
        self.page.locator("input[type=file]").first.set_input_files(path)

    def told(self, words: str) -> None:
        self.page.locator(".toast-body", has_text=words).first.wait_for()

    def download(self, button: str) -> bytes:
        with self.page.expect_download() as found:
            self.page.click(button)
        return Path(found.value.path()).read_bytes()


@pytest.fixture
def visit(chromium: Any, address: str) -> Iterator[Any]:
    """Open the page as another visitor; it must neither complain nor ask anybody else."""
    pages: list[Page] = []

    def open_(**options: Any) -> Page:
        pages.append(Page(chromium, address, **options))
        return pages[-1]

    yield open_
    for page in pages:
        page.context.close()
        assert page.complaints == []
        own = (address, address.replace("http", "ws"), "data:", "blob:")
        assert [url for url in page.requests if not url.startswith(own)] == []


def test_sliders_change_the_picture_and_the_command_makes_the_same(visit, tmp_path):
    page = visit()
    page.pick()
    page.ask()
    page.slide("Layer", 0)
    page.pick(1)  # another picture; the layer stays
    page.page.wait_for_function("!document.querySelector('#masked img')")
    page.ask()
    assert "--layer-index 0" in page.command()
    page.pick()
    page.page.wait_for_function("!document.querySelector('#masked img')")
    page.ask()
    sliders = {"Layer": 2, "Contrast": 2, "Smoothness": 5, "Grey level": 128, "Floor": 0.2}
    for label, value in {**sliders, "Keep (share of patches)": 0.5}.items():
        page.slide(label, value)
    before = page.source()
    page.choose("Rendering", "blur")
    page.page.wait_for_function(
        "before => document.querySelector('#masked img').src != before", arg=before
    )
    line = page.command()
    assert "--layer-index 2" in line
    assert "--render blur" in line
    picture, settings = page.download("#download"), page.download("#yaml")
    demo = Path(__file__).parents[4] / "datasets_manager" / "demo_data" / "images" / "000.jpg"
    (tmp_path / "000.jpg").write_bytes(demo.read_bytes())
    (tmp_path / "same.yaml").write_bytes(settings)
    words = [sys.executable, "-m", "api_cli", *shlex.split(line)[1:]]
    short = [*words[:5], "--config", "same.yaml", "--output", "other.masked.jpg"]
    for command, name in ((words, "000.masked.jpg"), (short, "other.masked.jpg")):
        subprocess.run(command, cwd=tmp_path, env=clean_environment(), check=True, timeout=120)
        assert (tmp_path / name).read_bytes() == picture


def test_a_part_of_the_answer_is_highlighted(visit):
    page = visit()
    page.pick()
    page.page.get_by_label("llava", exact=True).check()
    page.ask()
    answer = page.page.locator("#auxiliary textarea")
    answer.wait_for()
    words = answer.input_value()
    assert words
    page.page.locator("#highlight textarea").fill(words.split()[0])
    page.page.locator("#highlight textarea").press("Enter")
    page.page.wait_for_function(
        "document.querySelector('#command textarea').value.includes('--highlight')"
    )
    assert f"--highlight {shlex.quote(words.split()[0])}" in page.command()


def test_wrong_inputs_get_a_message_and_the_page_stays(visit, tmp_path):
    page = visit()
    page.page.click("#ask")
    page.told("choose a picture first")
    (tmp_path / "letter.jpg").write_text("Dear Sir")
    page.upload(tmp_path / "letter.jpg")
    page.told("no picture")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "large.png")
    page = visit()
    page.upload(tmp_path / "large.png")
    page.told("400000000 pixels")
    page = visit()
    page.pick()
    page.page.locator("#question textarea").fill("  ")
    page.page.click("#ask")
    page.told("ask something")
    page.page.locator("#question textarea").fill("Where is the chair?")
    page.ask()
    page.page.get_by_text("Ask a model about both").click()
    page.page.get_by_label("Server (base URL)").fill("http://127.0.0.1:9/v1")
    page.page.get_by_label("Model", exact=True).last.fill("nobody")
    page.page.click("#compare")
    page.told("127.0.0.1:9")


def test_visitors_do_not_see_each_others_pictures(visit):
    first, second = visit(), visit()
    first.pick()
    first.ask()
    assert second.page.locator("#original img, #masked img").count() == 0
    second.page.click("#ask")
    second.told("choose a picture first")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_the_page_can_be_read_by_all(visit, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(color_scheme=scheme, viewport=size)
    page.pick()
    page.ask()
    found = Axe().run(page.page).response["violations"]
    assert [(v["id"], [node["html"] for node in v["nodes"]]) for v in found] == []
    width = page.page.evaluate("document.documentElement.scrollWidth")
    assert width <= size["width"]
    if folder := os.environ.get("SCREENSHOTS"):
        place = Path(folder) / f"web-{scheme}-{size['width']}.png"
        page.page.screenshot(path=place, full_page=True)
