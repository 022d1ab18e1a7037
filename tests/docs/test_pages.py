"""Every command that README and docs show does what it says, or is marked as not run here."""

from __future__ import annotations

from unittest import SkipTest

import pytest
from sybil import Example

from tests.docs.pages import PAGES, ROOT, marks, read, shown
from tests.docs.shell import opened_shell
from tests.docs.stand_ins import VARIABLES, furnish, model_server, stand_in

pytestmark = [pytest.mark.process, pytest.mark.model]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_shows(page, tmp_path, monkeypatch, photographs):
    furnish(tmp_path, photographs)
    monkeypatch.chdir(tmp_path)
    with (
        opened_shell(tmp_path, {**VARIABLES, "PYTHONPATH": f"{tmp_path}:{ROOT}"}) as shell,
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


def test_what_is_not_run_is_counted_in_the_readme():
    blocks = sum(shown(page) for page in PAGES)
    left_out = sum(len(marks(page)) for page in PAGES)
    said = f"{left_out} of the {blocks} blocks of commands"
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert said in readme, f"README says another number than: {said}"
