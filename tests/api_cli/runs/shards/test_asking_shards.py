"""`ask` and `score` take a sharded run as they take a folder, also one that lies elsewhere."""

from __future__ import annotations

import pytest

from api_cli.asking.answers import read_answers
from api_cli.asking.ask import ask
from api_cli.asking.target import find_targets
from api_cli.console import Console
from api_cli.options.ask import AskConfig
from api_cli.options.location import Url
from api_cli.options.score import ScoreConfig
from api_cli.scoring.score import score
from tests.api_cli.runs.shards.conftest import assert_alike, make_set, mask
from tests.conftest import read_json_lines

pytestmark = pytest.mark.model


def questions(run, tmp_path):
    """Questions of a run with their pictures, and why one is not asked."""
    config = AskConfig.resolve({"runs": [str(run)], "output_folder": str(tmp_path)}, {})
    [target] = find_targets(config)
    return target, [
        (q.key, q.text, q.fault, [(p.file_name, p.is_original, p.read()) for p in q.pictures])
        for q, _ in target.questions()
    ]


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_a_sharded_run_is_asked_about_as_its_folder_is(tmp_path, kind):
    root = make_set(tmp_path / "set", 5, broken=(3,))
    given = {"dataset": "imagefolder", "data_root": str(root), "render": "pair"}
    [folder], _ = mask(tmp_path / "folder", **given)
    [shards], _ = mask(tmp_path / "shards", output_format=kind, shard_size=2, **given)
    _, of_folder = questions(folder, tmp_path)
    target, of_shards = questions(shards, tmp_path)
    for (*one, pictures), (*other, known) in zip(of_shards, of_folder, strict=True):
        assert one == other
        assert [about for *about, _ in pictures] == [about for *about, _ in known]
        for (*_, content), (*_, same) in zip(pictures, known, strict=True):
            assert_alike(content, same)
    assert len(of_shards) == 5
    assert target.home == shards


def test_answers_about_a_run_elsewhere_stand_here(ten, tmp_path):
    out = Url(f"memory://asked/{tmp_path.name}")
    given = {"dataset": "imagefolder", "data_root": str(ten), "range": "0 3"}
    [run], _ = mask(out, output_format="parquet", shard_size=2, **given)
    here = str(tmp_path / "here")
    flags = {"backend": "hf", "model": "demo", "output_folder": here, "device": "cpu"}
    config = AskConfig.resolve({"runs": [str(out)], **flags}, {})
    report = ask(config, Console(quiet=True))
    [folder] = report.folders
    assert folder.is_relative_to(here)
    assert sorted(read_answers(folder).answers) == ["k0", "k1", "k2"]
    assert ask(config, Console(quiet=True)).finished == 0
    [outcome] = score(
        ScoreConfig.resolve({"folders": [str(folder)], "metric": "exact"}, {}), Console()
    )
    assert len(read_json_lines(folder / "scores.jsonl")) == 3
    assert not outcome.refused
    assert str(run).startswith(str(out))
