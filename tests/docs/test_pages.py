"""Every command that README and docs show does what it says, or is marked as not run here."""

from __future__ import annotations

from unittest import SkipTest

import pytest
from sybil import Example

from tests.docs.pages import PAGES, read
from tests.docs.shell import opened_shell
from tests.docs.stand_ins import VARIABLES, furnish, model_server, stand_in

pytestmark = [pytest.mark.process, pytest.mark.model]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_shows(page, tmp_path, monkeypatch, photographs):
    furnish(tmp_path, photographs)
    monkeypatch.chdir(tmp_path)
    with (
        opened_shell(tmp_path, {**VARIABLES, "PYTHONPATH": str(tmp_path)}) as shell,
        model_server() as url,
    ):

        def run(example: Example) -> None:
            shell.run(example.parsed)

        text = stand_in(page.read_text(encoding="utf-8"), url)
        for example in read(page, text, run).examples():
            try:
                example.evaluate()
            except SkipTest:
                continue
