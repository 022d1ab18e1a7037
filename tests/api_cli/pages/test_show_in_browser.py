"""The gallery in a real browser: opened from the disk, read, filtered, sorted and walked by keys.

Needs Debian's `chromium` and the extra `[browser]`. Where either is missing these tests are
skipped, or with REQUIRE_BROWSER=1, as `make test-all` has it, fail.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from api_cli.pages.show.page import as_script
from tests.api_cli.pages.browser import DESK, PHONE, lacking
from tests.api_cli.pages.gallery import ANSWER, HOSTILE, command

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process]

LACKING = lacking()
if LACKING and not os.environ.get("REQUIRE_BROWSER"):
    pytest.skip(f"the browser tests were not run: {LACKING}", allow_module_level=True)


@pytest.fixture(scope="session")
def shown(gallery, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    return Path(command("show", *gallery.runs, "--output", folder / "SHOW", "--quiet").strip())


class Opened(NamedTuple):
    """A page in the browser, and all that it asked for and complained of."""

    page: Any
    requests: list[str]
    complaints: list[str]

    def questions(self) -> list[str]:
        return self.page.locator("main h2").all_text_contents()

    def counted(self) -> str:
        return str(self.page.locator("#count").text_content())


@pytest.fixture
def open_page(chromium):
    """Open a page from the disk; whatever it does, it must not complain nor leave."""
    opened = []
    with contextlib.ExitStack() as stack:

        def open_(path: Path, scheme: str = "light", size: dict[str, int] = DESK) -> Opened:
            context = stack.enter_context(
                contextlib.closing(chromium.new_context(color_scheme=scheme, viewport=size))
            )
            page = context.new_page()
            found = Opened(page, [], [])
            page.on("request", lambda request: found.requests.append(request.url))
            page.on("console", lambda message: found.complaints.append(message.text))
            page.on("pageerror", lambda error: found.complaints.append(str(error)))
            page.on("dialog", lambda dialog: found.complaints.append(f"dialog {dialog.message}"))
            page.goto(path.as_uri())
            page.wait_for_selector("main .card")
            opened.append((path, found))
            return found

        yield open_
        for path, found in opened:
            assert found.complaints == []
            inside = (path.parent.as_uri(), "data:")
            assert [url for url in found.requests if not url.startswith(inside)] == []


def loaded(page: Any) -> list[bool]:
    """Whether each picture has pixels, once all have been scrolled to."""
    page.evaluate(
        """async () => {
            for (const image of document.images) image.loading = "eager";
            await Promise.all([...document.images].map((image) => image.decode()));
        }"""
    )
    return page.evaluate("[...document.images].map((image) => image.naturalWidth > 0)")


def test_the_gallery_opens_from_the_disk_and_its_pictures_load(shown, gallery, open_page):
    opened = open_page(shown)
    pictures = loaded(opened.page)
    # six whole samples: the original, and of two runs a heat map and a masked picture
    assert len(pictures) == 6 * 5
    assert all(pictures)
    assert opened.counted() == "7 of 7 samples"
    assert opened.page.title() == ", ".join(run.name for run in gallery.runs)
    alts = opened.page.evaluate("[...document.images].map((image) => image.alt)")
    assert all(alts)
    assert len(opened.requests) > 1, "thumbnails are files beside the page"


def test_a_single_file_needs_no_other(gallery, open_page, tmp_path):
    words = ("show", gallery.runs[0], "--single-file", "--output", tmp_path / "a", "--quiet")
    page = Path(command(*words).strip())
    alone = page.rename(tmp_path / "mail.html")
    shutil.rmtree(tmp_path / "a")
    opened = open_page(alone)
    assert all(loaded(opened.page))
    assert [url[:5] for url in opened.requests[1:]] == ["data:"] * (len(opened.requests) - 1)


def test_hostile_texts_are_shown_as_texts(shown, open_page):
    page = open_page(shown).page
    page.locator("#sort").select_option("order")
    questions = page.locator("main h2").all_text_contents()
    assert questions[:6] == list(HOSTILE.values())
    assert page.locator("main .key").all_text_contents()[:6] == list(HOSTILE)
    assert page.locator("main .card").nth(1).locator(".says .text").nth(1).text_content() == ANSWER
    assert page.locator("main script, main b, main i, main img[onerror]").count() == 0
    assert page.title() != "owned"
    direction = page.locator("main h2").nth(3).evaluate("h => getComputedStyle(h).direction")
    assert direction == "rtl"
    assert page.locator("#group option").all_text_contents() == ["All", "<b>animals</b>", "things"]
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= DESK["width"], "10,000 letters without a space are broken"
    heights = page.locator("main .card").evaluate_all("c => c.map((card) => card.offsetHeight)")
    assert max(heights) < 900, "and do not fill the page"


def test_won_and_lost_samples_come_first_and_failures_are_neither(shown, open_page):
    opened = open_page(shown)
    page, questions = opened.page, list(HOSTILE.values())
    badges = page.locator("main .head .badge")
    assert badges.all_text_contents() == ["Won +1", "Lost \u22121", "Same score"]
    assert opened.questions()[:3] == questions[:3]
    for name, wanted in (
        ("won", questions[:1]),
        ("lost", questions[1:2]),
        ("same", questions[2:3]),
    ):
        page.locator("#filter").select_option(name)
        assert opened.questions() == wanted
    page.locator("#filter").select_option("errors")
    assert opened.counted() == "3 of 7 samples", (
        "one that was not answered, one not yet, one damaged"
    )
    assert "<b>the server</b> was silent" in page.locator("main .error").first.text_content()
    page.locator("#filter").select_option("all")
    page.locator("#sort").select_option("loss")
    assert opened.questions()[:3] == [questions[1], questions[2], questions[0]]
    page.locator("#sort").select_option("gain")
    assert opened.questions()[:3] == [questions[0], questions[2], questions[1]]


def test_search_and_category_leave_what_matches(shown, open_page):
    opened = open_page(shown)
    page = opened.page
    for text, wanted in (("EVIL.example", 1), ("\U0001f600", 1), ("was silent", 1), ("kkkk", 1)):
        page.locator("#search").fill(text)
        page.wait_for_function(
            "wanted => document.getElementById('count').textContent === wanted",
            arg=f"{wanted} of 7 samples",
        )
    page.locator("#search").fill("nothing has this")
    page.wait_for_selector("main .none")
    page.locator("#search").fill("")
    page.wait_for_selector("main .card")
    page.locator("#group").select_option("things")
    assert opened.counted() == "3 of 7 samples"


def test_columns_are_hidden_and_come_back(shown, gallery, open_page):
    page = open_page(shown).page
    card = page.locator("main .card").first
    assert card.locator("img").count() == 5
    for name, left in (("Heat maps", 3), ("Original", 2), (gallery.runs[1].name, 1)):
        page.get_by_label(name, exact=True).uncheck()
        assert card.locator("img").count() == left
    assert card.locator("h3").all_text_contents() == [gallery.runs[0].name]
    page.get_by_label("Original", exact=True).check()
    assert card.locator("img").count() == 2


def test_keys_walk_enlarge_and_lead_back(shown, open_page):
    page = open_page(shown).page
    focused = "[...document.querySelectorAll('main .card')].indexOf(document.activeElement)"
    for key, place in (("j", 0), ("ArrowRight", 1), ("j", 2), ("k", 1), ("ArrowLeft", 0), ("k", 0)):
        page.keyboard.press(key)
        assert page.evaluate(focused) == place, key
    page.keyboard.press("Enter")
    large = page.locator("dialog[open]")
    questions = list(HOSTILE.values())
    assert large.locator("h2").text_content() == questions[0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("j")
    assert large.locator("h2").text_content() == questions[2]
    page.keyboard.press("Escape")
    assert large.count() == 0
    page.wait_for_function(f"() => {focused} === 2")  # back at the sample that was last enlarged
    page.keyboard.press("/")
    page.keyboard.type("j")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Escape")
    page.locator("main .picture").first.click()
    assert large.count() == 1
    page.locator("#close").click()
    assert large.count() == 0


def test_a_sample_enlarged_has_all_of_its_texts(shown, open_page):
    page = open_page(shown, size=PHONE).page
    page.locator("#search").fill("kkkk")
    page.wait_for_function("() => document.querySelectorAll('main .card').length === 1")
    page.locator("main .picture").first.click()
    title = page.locator("dialog h2")
    assert title.evaluate("h => h.scrollHeight <= h.clientHeight + 1"), "nothing is cut off"
    assert page.locator("dialog").evaluate("d => d.scrollWidth <= d.clientWidth")


def test_light_and_dark_follow_the_system_and_the_switch(shown, open_page):
    page = open_page(shown, "dark").page
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.locator("#theme").click()
    light = page.evaluate(background)
    assert page.locator("#theme").text_content() == "Theme: light"
    page.locator("#theme").click()
    assert page.evaluate(background) == dark != light
    page.reload()
    assert page.locator("#theme").text_content() == "Theme: dark", "it is remembered"


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(shown, open_page, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(shown, scheme, size).page
    page.locator("#about summary").click()
    for opened in (False, True):
        if opened:
            page.locator("main .picture").first.click()
        violations = Axe().run(page).response["violations"]
        found = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in violations]
        assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_two_thousand_samples_stay_smooth(gallery, chromium, open_page, tmp_path):
    """The first picture within a second, a filter within a fifth, and few elements at a time."""
    path = Path(command("show", *gallery.runs, "--output", tmp_path / "a", "--quiet").strip())
    text = path.read_text()
    [(start, content, end)] = re.findall(r'(<script [^>]*id="data">)(.*?)(</script>)', text)
    data = json.loads(content)
    samples = data["samples"][:5]
    data["samples"] = [samples[n % 5] | {"key": f"sample {n}", "index": n} for n in range(2000)]
    path.write_text(text.replace(start + content + end, start + as_script(data) + end))
    opened = open_page(path)
    page = opened.page
    assert opened.counted() == "2000 of 2000 samples"
    assert page.locator("main .card").count() < 200
    seconds = page.evaluate(
        """() => { const start = performance.now();
        const select = document.getElementById("filter"); select.value = "won";
        select.dispatchEvent(new Event("change")); document.body.offsetHeight;
        return (performance.now() - start) / 1000; }"""
    )
    assert seconds < 2, "a tenth of that on an idle machine"
    assert opened.counted() == "400 of 2000 samples"
    page.locator("#filter").select_option("all")
    for _ in range(3):
        before = page.locator("main .card").count()
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function(
            "before => document.querySelectorAll('main .card').length > before", arg=before
        )
