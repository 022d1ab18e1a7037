"""`apiprompt profile`, from scenes to the line to use."""

from __future__ import annotations

import csv
import importlib.util
import io
import json

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from api_cli.cli import app
from api_cli.errors import ApipromptError, UsageError
from datasets_manager import get_dataset
from tests.conftest import read_json_lines, write_json_lines

pytestmark = pytest.mark.model


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def command(*words, status=0):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == status, result.stderr
    return result


def profiled(*words, status=0):
    result = command("profile", *words, "--table", "json", status=status)
    return json.loads(result.stdout), " ".join(result.stderr.split())


def test_the_layer_that_the_demo_llava_was_trained_with_is_found_and_maps_are_kept(tmp_path):
    flags = ("llava", "--range", "0", "20", "--batch-size", "8", "--max-new-tokens", "2")
    found, said = profiled(*flags)
    assert "loading" in said
    assert found["layer_index"] == "2"
    assert (found["chosen_on"] + found["reported_on"], found["failed"]) == (20, 0)
    rows = {row["layer_index"]: row for row in found["rows"] if row["role"] != "best"}
    assert list(rows) == ["0", "1", "2", "3", "4", "0+1+2+3+4"]
    best = found["rows"][-1]
    assert best["role"] == "best"
    assert best["auroc"] == max(row["auroc"] for row in found["rows"]) > 0.98
    assert best["auroc"] == pytest.approx(rows["2"]["auroc"])
    for row in found["rows"]:
        for name in ("auroc", "pointing", "mass"):
            assert 0 <= row[f"{name}_low"] <= row[name] <= row[f"{name}_high"] <= 1

    text = command("profile", *flags, "--table", "md")
    assert "loading" not in text.stderr
    assert text.stdout.rstrip().endswith("--layer-index 2")
    run = command(*flags, "--layer-index", "2")
    assert "loading" not in run.stderr, "a run after a profile needs no model"
    assert sorted(path.name for path in (tmp_path / "experiments").iterdir()) == [
        ".maps", "APILLaVA_demo_demo_2",
    ]  # fmt: skip


def test_means_that_are_asked_for_and_heads_are_scored_too():
    # squashed, so that no attention goes to padding
    flags = ("llava", "--range", "0", "8", "--batch-size", "8", "--max-new-tokens", "1",
             "--fit", "squash")  # fmt: skip
    found, _ = profiled(*flags, "--layer-index", "1,2+1", "--heads", "--resamples", "100")
    rows = {(row["role"], row["layer_index"], row["head"]): row for row in found["rows"]}
    heads = [("head", layer, head) for layer in "12" for head in range(4)]
    singles = [("layer", "1", None), ("layer", "2", None)]
    best = [name for name in rows if name[0] == "best"]
    assert list(rows) == [*singles, ("mean", "1+2", None), *heads, ("all", "1+2", None), *best]
    assert rows["mean", "1+2", None]["auroc"] == rows["all", "1+2", None]["auroc"]
    for layer in "12":  # each head's attention sums to one, and so does their mean
        shares = [rows["head", layer, head]["mass"] for head in range(4)]
        assert rows["layer", layer, None]["mass"] == pytest.approx(sum(shares) / 4, abs=1e-5)


def test_clips_maps_are_scored_each_and_the_mask_ranks(tmp_path):
    command("clip", "--range", "0", "16", "--layer-index", "3,4")
    table = tmp_path / "out" / "layers.csv"
    table.parent.mkdir()
    flags = ("--range", "0", "16", "--layer-index", "3,-1", "--resamples", "200")
    found, said = profiled("clip", *flags, "--csv", table)
    assert "loading" not in said, "a profile of layers that a run has read needs no model"
    assert found["ranked_by"] == "mask"
    assert [row["map"] for row in found["rows"]] == ["cls_map", "patch_map", "mask"] * 4
    assert all(row["auroc"] > 0.8 for row in found["rows"])
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [float(row["auroc"]) for row in rows] == [row["auroc"] for row in found["rows"]]
    shown = command("profile", "clip", *flags, "--table", "csv")
    assert shown.stdout == table.read_text()
    again, _ = profiled("clip", *flags, "--batch-size", "3", "--no-map-store")
    for one, other in zip(found["rows"], again["rows"], strict=True):
        assert one["auroc"] == pytest.approx(other["auroc"], abs=1e-4)


@pytest.fixture
def scenes(tmp_path):
    """Ten of the demo set's scenes as an image folder, boxes under a name and format of its own."""
    root = tmp_path / "scenes"
    root.mkdir()
    rows = []
    for sample in get_dataset("demo")[10:20]:
        name = f"{sample.key}.png"
        with Image.open(io.BytesIO(sample.read_image())) as image:
            image.resize((120, 90)).save(root / name)
            width, height = image.size
        x0, y0, x1, y1 = sample.extra["box"]
        where = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
        rows.append({"file_name": name, "key": sample.key, "question": sample.question,
                     "place": where})  # fmt: skip
    write_json_lines(root / "metadata.jsonl", rows)
    return root


def of(scenes, *more):
    return ("clip", "--dataset", "imagefolder", "--data-root", scenes, "--model-name", "demo",
            "--fit", "squash", "--resamples", "200", *more)  # fmt: skip


def test_boxes_may_be_fractions_of_widths_and_heights(scenes):
    found, _ = profiled(*of(scenes, "--box-column", "place", "--box-format", "xywh"))
    assert found["rows"][-1]["auroc"] > 0.9
    assert 0.02 < found["inside"] < 0.3


def test_a_samples_fault_costs_one_row(scenes):
    rows = read_json_lines(scenes / "metadata.jsonl")
    rows[1]["place"] = [0.5, 0.5, 0, 0]
    rows[2]["place"] = None
    rows[3]["place"] = [900, 900, 40, 40]
    rows[4]["place"] = [0, 0, 1, 1]
    (scenes / rows[5]["file_name"]).write_bytes(b"no picture")
    write_json_lines(scenes / "metadata.jsonl", rows)
    flags = of(scenes, "--box-column", "place", "--box-format", "xywh")
    found, said = profiled(*flags, status=3)
    assert (found["failed"], found["chosen_on"] + found["reported_on"]) == (5, 5)
    for row, why in zip(
        rows[1:6],
        (
            "list: DatasetError: column 'place': the box [0.5, 0.5, 0, 0] is empty",
            "list: DatasetError: column 'place' has no box",
            "lies outside the picture of 120 x 90 pixels",
            "the boxes cover the whole picture",
            "read: ",
        ),
        strict=True,
    ):
        assert f"error: {row['key']} (sample {int(row['key']) - 10}), " in said
        assert why in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ((), r"imagefolder: no sample has a column of boxes \(boxes, bboxes, box, bbox\); "
             r"there are: .*place.*--box-column NAME"),
        (("--box-column", "where"), r"has a column of boxes \(where\)"),
        (("--box-column", "key"), r"there are: place\."),
        (("--box-column", "place"), r"no sample of imagefolder has boxes to profile on; 010: "
                                    r"column 'place': .* is empty; is it of --box-format xywh\?"),
        (("--box-column", "place", "--box-format", "xywh", "--range", "0", "1"),
         r"1 samples could be scored, .* more are needed, of several pictures"),
        (("--box-column", "place", "--range", "90", "99"), "no samples in that range: imagefolder"),
    ],
)  # fmt: skip
def test_what_cannot_be_profiled_is_one_line(scenes, more, says):
    path = scenes / "metadata.jsonl"
    rows = read_json_lines(path)
    for row in rows:  # far from the corner, so that none is a box of xyxy
        row["place"] = [0.6, 0.6, 0.2, 0.2]
    write_json_lines(path, rows)
    with pytest.raises(ApipromptError, match=says) as error:
        command("profile", *of(scenes, *more))
    assert "\n" not in str(error.value)


def test_one_process_does_it_and_flags_of_pictures_are_none(monkeypatch, tmp_path):
    assert command("profile", "clip", "--grayscale", "9", status=2).stdout == ""
    shipped = tmp_path / "mine.yaml"
    shipped.write_text("dataset: counting\nmodel_name: demo\ngrayscale: 9\nbest: 2\n")
    shown = command("profile", "clip", "--config", shipped, "--print-config").stdout
    assert yaml.safe_load(shown) | {"best": 2, "dataset": "counting", "fit": "paper"} == (
        yaml.safe_load(shown)
    )
    with pytest.raises(UsageError, match=r"s3://bucket: a profile keeps its maps on a disk"):
        command("profile", "clip", "--output-folder", "s3://bucket")
    assert command("profile", "clip", "--engine", "ray", status=2).stdout == ""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="profile runs in one process"):
        command("profile", "clip")


def test_a_plot_is_drawn_where_matplotlib_is(tmp_path):
    picture = tmp_path / "layers.png"
    flags = ("profile", "clip", "--range", "0", "8", "--resamples", "100", "--plot", picture)
    if importlib.util.find_spec("matplotlib") is None:
        with pytest.raises(UsageError, match=r"pip install 'apiprompt\[plot\]'"):
            command(*flags)
        assert not (tmp_path / "experiments").exists(), "it is said before anything is done"
    else:
        command(*flags)
        with Image.open(picture) as drawn:
            assert drawn.width > 500
    with pytest.raises(UsageError, match=r"expected a file name that ends in \.png, \.svg, \.pdf"):
        command("profile", "clip", "--plot", tmp_path / "layers.gif")
