"""What tests of pages share: runs of a hostile set, and a copy of them to break."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api_cli.pages.browser import lacking
from tests.api_cli.pages.gallery import Gallery, make_gallery


@pytest.fixture(scope="session")
def gallery(tmp_path_factory, photographs) -> Gallery:
    """Runs to look at; not to be changed."""
    return make_gallery(tmp_path_factory.mktemp("gallery"), photographs)


@pytest.fixture
def broken(gallery, tmp_path) -> Gallery:
    """A copy of the runs, to be changed; the dataset is where it was."""
    out = shutil.copytree(gallery.root / "out", tmp_path / "out")
    runs = [out / run.relative_to(gallery.root / "out") for run in gallery.runs]
    return gallery._replace(root=tmp_path, runs=runs)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if missing := lacking():
        pytest.fail(f"the browser tests cannot be run: {missing}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        as_root = os.geteuid() == 0  # for whom its sandbox does not start
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"] if as_root else []
        )
        yield browser
        browser.close()
