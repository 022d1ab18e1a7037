"""Every rendering out of one pass: files, rows, resume and what `datasets` opens."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from api_cli.console import Console
from api_cli.masking.renderings import RENDERINGS
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.runs.run import run
from tests.conftest import read_json_lines, write_clip, write_json_lines

pytestmark = pytest.mark.model

SIZES = {"square": (256, 256), "wide": (350, 211), "tall": (107, 233)}


@pytest.fixture
def render(tmp_path, make_dataset):
    """Run the demo CLIP over three photographs in this process; run folders by rendering."""
    root = make_dataset(tuple(SIZES), crop=["a", "b", "c"])

    def make(*names: str, output: str = "out", **flags) -> dict[str, Path]:
        config = ClipConfig(
            dataset="imagefolder",
            data_root=root,
            output_folder=tmp_path / output,
            render=names,
            **{"model_name": "demo", "fit": "pad", "format": "png", **flags},
        )
        return dict(zip(names, run(config, Console(quiet=True), Launch()).folders, strict=True))

    return make


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_flags_know_every_rendering():
    option = ClipConfig.options()["render"]
    assert option.parse(",".join(RENDERINGS)) == (*RENDERINGS,)
    assert [name for name in RENDERINGS if name not in option.help] == []
    with pytest.raises(ValueError, match="expected fade, blur"):
        option.parse("fda")


def test_all_renderings_come_out_of_one_pass_and_datasets_opens_them(render, tmp_path):
    folders = render(*RENDERINGS)
    [usual] = render("fade", output="usual", map_store=False).values()
    assert usual.name == folders["fade"].name == "5_3_LANCZOS_0", "as before there were others"
    assert len({*folders.values()}) == len(RENDERINGS)
    for key, (width, height) in SIZES.items():
        assert (folders["fade"] / f"{key}.png").read_bytes() == (usual / f"{key}.png").read_bytes()
        for name in RENDERINGS:
            shape = opened(folders[name] / f"{key}.png").shape
            if name in ("crop", "cutout"):
                assert max(shape) == max(width, height)
            else:
                assert shape == (height, width, 3), name

    for name, folder in folders.items():
        rows = {row["key"]: row for row in read_json_lines(folder / "metadata.jsonl")}
        assert set(rows) == set(SIZES)
        for row in rows.values():
            assert next(iter(row)) == "file_name"
            assert ("crop_box" in row) == (name in ("crop", "pair", "cutout"))
            assert row["dataset_crop"] in "abc", "the column of that name is a picture's"
        loaded = datasets.load_dataset(
            "imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"), split="train"
        )
        assert loaded.num_rows == 3
        pictures = [n for n, kind in loaded.features.items() if isinstance(kind, datasets.Image)]
        assert sorted(pictures) == (["crop", "image"] if name == "pair" else ["image"])
        for row in loaded:
            assert max(row["image"].size) == max(SIZES[row["key"]])
            if name == "pair":
                assert row["image"].size == SIZES[row["key"]]
                assert max(row["crop"].size) == max(SIZES[row["key"]])


def test_a_crop_can_be_traced_back_to_the_original(render):
    folders = render("pair", "crop", keep=("0.2:1",))
    for row in read_json_lines(folders["pair"] / "metadata.jsonl"):
        original = Image.fromarray(opened(folders["pair"] / row["file_name"]))
        crop = opened(folders["pair"] / row["crop_file_name"])
        left, top, right, bottom = row["crop_box"]
        part = original.crop((left, top, right, bottom)).resize(crop.shape[1::-1], 1)
        assert np.array_equal(np.asarray(part), crop)
        alone = opened(folders["crop"] / row["file_name"])
        assert np.array_equal(alone, crop)
        assert (right - left) * (bottom - top) < original.width * original.height


def test_a_pair_that_lacks_a_picture_is_not_finished(render):
    [folder] = render("pair").values()
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert len(before) == 6
    (folder / "wide.crop.png").unlink()
    (folder / "tall.png").unlink()
    assert render("pair") == {"pair": folder}
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    assert {name for name in after if after[name] != before[name]} == {
        "wide.png", "wide.crop.png", "tall.png", "tall.crop.png",
    }  # fmt: skip
    assert len(read_json_lines(folder / "metadata.jsonl")) == 3


def test_overwriting_a_pair_deletes_both_pictures_also_without_a_row(render):
    [folder] = render("pair").values()
    rows = read_json_lines(folder / "metadata.jsonl")
    write_json_lines(folder / "metadata.jsonl", rows[:1])  # as a kill leaves it
    (folder / "mine.crop.png").write_bytes(b"mine")
    render("pair", overwrite=True, range=(0, 1))
    assert {path.name for path in folder.glob("*.png")} == {
        "square.png", "square.crop.png", "mine.crop.png",
    }  # fmt: skip


def test_a_flat_map_leaves_every_picture_as_it_was_and_rows_say_so(render, tmp_path):
    write_clip(tmp_path / "one-patch", image_size=32, patch_size=32)
    model = {"model_name": str(tmp_path / "one-patch"), "layer_index": (0,)}
    folders = render(*RENDERINGS, **model)
    original = folders["pair"] / "wide.png"
    for name, folder in folders.items():
        for row in read_json_lines(folder / "metadata.jsonl"):
            assert row["flat"]
            assert row.get("crop_box", [0, 0, *SIZES[row["key"]]]) == [0, 0, *SIZES[row["key"]]]
        for picture in folder.glob("wide*.png"):
            assert picture.read_bytes() == original.read_bytes(), name
