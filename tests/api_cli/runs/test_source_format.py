"""`--format source`: pictures keep the names and suffixes of their own files."""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from api_cli.asking.sending import send
from api_cli.asking.target import find_targets
from api_cli.console import Console
from api_cli.errors import RunFolderError
from api_cli.options.ask import AskConfig
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.runs.endings import KINDS, source_ending, split_name
from api_cli.runs.names import SampleNames
from api_cli.runs.pictures import encode, head_of
from api_cli.runs.run import run
from api_cli.scoring.exports.lmms_eval import lmms_eval
from api_cli.scoring.exports.run import read_run
from datasets_manager import Sample
from tests.conftest import read_json_lines, write_json_lines

pytestmark = pytest.mark.model
# what a folder of a user's holds, and what is made of it
KEPT = ("IMG_1.JPG", "b.jpeg", "c.png", "d.webp", "e.tif", "f.gif", "g.bmp", "h.ppm", "i.jp2")
OTHERS = {"k.tga": "k.png", "l.pcx": "l.png"}


def mask(root: Path, out: Path, **flags: Any) -> tuple[Path, Any]:
    given = {"dataset": "imagefolder", "model_name": "demo", "data_root": str(root)}
    given |= {"output_folder": str(out), "format": "source", "question": "Where is it?"} | flags
    [folder], report = run(ClipConfig.resolve(given, {}), Console(), Launch())
    return folder, report


def opened(*how: str) -> dict[str, tuple[int, int]]:
    """Sizes of the pictures that `datasets` finds, by key."""
    datasets.disable_progress_bars()
    data = {"data_dir": how[1]} if how[1:] else {}
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset(how[0], **data, cache_dir=cache)
        assert list(loaded) == ["train"]
        sizes = {}
        for row in loaded["train"]:
            with row["image"] as image:
                sizes[row["key"]] = image.size
        return sizes


@pytest.fixture
def pictures(tmp_path: Path, photographs: dict[str, Path]) -> Path:
    """A folder of one photograph under every suffix."""
    root = tmp_path / "pictures"
    root.mkdir()
    with Image.open(photographs["wide"]) as image:
        small = image.convert("RGB").resize((70, 42))
    for name in (*KEPT, *OTHERS):
        small.save(root / name)
    return root


def test_names_and_suffixes_stay_and_the_folder_opens_and_goes_on(pictures, tmp_path, capsys):
    folder, report = mask(pictures, tmp_path / "out")
    assert report.finished == len(KEPT) + len(OTHERS)
    rows = read_json_lines(folder / "metadata.jsonl")
    assert {row["file_name"] for row in rows} == {*KEPT, *OTHERS.values()}
    assert "or png (1 .tga, 1 .pcx)" in capsys.readouterr().err
    for name in KEPT:
        head = head_of((folder / name).read_bytes())
        assert head == ((70, 42), KINDS[name.rpartition(".")[2].lower()])
    for how in ((str(folder),), ("imagefolder", str(folder))):
        assert opened(*how) == {row["key"]: (70, 42) for row in rows}
    assert mask(pictures, tmp_path / "out")[1] is None, "nothing left to do"
    (folder / "IMG_1.JPG").unlink()
    assert mask(pictures, tmp_path / "out")[1].finished == 1
    with pytest.raises(RunFolderError, match="format is 'jpg', was 'source'"):
        mask(pictures, tmp_path / "out", format="jpg")
    (folder / "h.ppm.txt").write_text("mine")
    mask(pictures, tmp_path / "out", overwrite=True, format="jpg")
    left = {path.name for path in folder.iterdir()}
    assert not {*KEPT, *OTHERS.values()} & left
    assert "h.ppm.txt" in left


def test_a_picture_is_that_of_a_run_in_its_format(pictures, tmp_path):
    folder, _ = mask(pictures, tmp_path / "source")
    for name in ("c.png", "d.webp"):
        stem, _, ending = name.partition(".")
        other, _ = mask(pictures, tmp_path / ending, format=ending)
        assert (folder / name).read_bytes() == (other / f"{stem}.{ending}").read_bytes()


def test_two_samples_never_share_a_name(photographs, tmp_path, capsys):
    root = tmp_path / "pictures"
    (root / "x").mkdir(parents=True)
    shutil.copy(photographs["wide"], root / "1.jpg")
    shutil.copy(photographs["wide"], root / "only.jpg")
    shutil.copy(photographs["square"], root / "x" / "1.jpg")
    shutil.copy(photographs["square"], root / "1.png")
    shutil.copy(photographs["tall"], root / "val_2.png")
    names = ("1.jpg", "1.jpg", "x/1.jpg", "1.png", "only.jpg", "val_2.png")
    rows = [
        {"file_name": n, "question": f"What is {i}?", "key": f"k{i}"} for i, n in enumerate(names)
    ]
    write_json_lines(root / "metadata.jsonl", rows)
    folder, report = mask(root, tmp_path / "out", question=None, save_maps=True)
    assert report.finished == 6
    made = [row["file_name"] for row in read_json_lines(folder / "metadata.jsonl")]
    assert made[4] == "only.jpg"
    assert len({name.rpartition(".")[0].casefold() for name in made}) == 6
    assert all(name.startswith("1~") for name in made[:4])
    assert [name.rpartition(".")[2] for name in made] == ["jpg", "jpg", "jpg", "png", "jpg", "png"]
    assert made[5].startswith("val~_2~"), "a word that `datasets` reads as a split"
    assert "5 of 6 pictures get a digest" in capsys.readouterr().err
    assert len(opened("imagefolder", str(folder))) == 6


def test_names_do_not_depend_on_the_order_of_samples():
    sources = {"a": "1.jpg", "b": "1.jpg", "c": "2.jpg"}
    one, other = SampleNames(sources, sources), SampleNames(reversed(sources), sources)
    assert [one(key) for key in "abc"] == [other(key) for key in "abc"]
    assert one("a") != one("b")
    assert (one("c"), one.ending("c")) == ("2", "jpg")


@pytest.mark.parametrize(
    ("name", "kind", "made"),
    [
        ("a.JPG", "PNG", "a.JPG"),
        ("a.b.tiff", "TIFF", "a.b.tiff"),
        ("v1.0", "JPEG", "v1.0.jpg"),
        ("v1_0", "PNG", "v1_0.png"),
        ("stereo.mpo", "MPO", "stereo.jpg"),
        ("icon.ico", "ICO", "icon.png"),
        (".jpg", "WEBP", ".jpg.webp"),
    ],
)
def test_what_a_source_of_any_name_and_content_becomes(name, kind, made):
    assert f"{split_name(name)[0]}.{source_ending(name, kind)}" == made


def test_a_picture_that_is_no_file_is_called_by_its_key_and_written_as_it_came(
    photographs, tmp_path, monkeypatch
):
    sets = tmp_path / "sets_of_bytes.py"
    sets.write_text(
        "from datasets_manager import Sample, loader\n"
        "@loader\n"
        "def load(root, options):\n"
        "    for index, name in enumerate(('wide.jpg', 'tall.png')):\n"
        "        content = (root / name).read_bytes()\n"
        "        yield Sample(f'v1.{index}', index, lambda c=content: c, 'Where is it?')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    root = photographs["wide"].parent
    folder, _ = mask(root, tmp_path / "out", dataset="sets_of_bytes:load", question=None)
    made = [row["file_name"] for row in read_json_lines(folder / "metadata.jsonl")]
    assert made == ["v1.0.jpg", "v1.1.png"]
    assert Sample("k", 0, Path("a/b.png"), "?").source_name == "b.png"


def test_ask_sends_what_stands_there_and_originals_in_the_same_format(pictures, tmp_path):
    folder, _ = mask(pictures, tmp_path / "out")
    masked, plain = find_targets(AskConfig(runs=(folder,), plain=True))
    for target in (masked, plain):
        for question, _ in target.questions():
            [(source, encoding)] = target.pictures(question, ("masked",))
            picture = send(source, encoding, None)
            ending = picture.file_name.rpartition(".")[2].lower()
            assert head_of(picture.content) == ((70, 42), KINDS[ending])
            if target is masked:
                assert picture.content == (folder / picture.file_name).read_bytes()
    assert plain.about["format"] == "source"


def test_an_export_takes_pictures_of_any_suffix(pictures, tmp_path):
    folder, _ = mask(pictures, tmp_path / "out")
    lmms_eval(read_run(folder), tmp_path / "export")
    rows = read_json_lines(tmp_path / "export" / "data" / "metadata.jsonl")
    for row in rows:
        assert (tmp_path / "export" / "data" / row["file_name"]).read_bytes()
    assert {row["file_name"] for row in rows} == {*KEPT, *OTHERS.values()}


@pytest.mark.parametrize("ending", KINDS)
def test_every_ending_that_is_kept_holds_the_picture(ending):
    noise = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    image = Image.fromarray(noise).resize((40, 30), Image.Resampling.BICUBIC)
    back = Image.open(io.BytesIO(encode(image, ending, 95)))
    assert (back.size, back.format) == ((40, 30), KINDS[ending])
    difference = np.abs(np.asarray(back.convert("RGB"), int) - np.asarray(image))
    exact = KINDS[ending] in ("PNG", "BMP", "PPM", "TIFF", "JPEG2000")
    assert difference.mean() <= (0 if exact else 10)
