"""What an image folder is: which files become samples, under which keys, and what is said."""

from __future__ import annotations

import os
import shutil

import pytest
from PIL import Image

from datasets_manager import DatasetError, DatasetOptions, get_dataset
from datasets_manager.listing import picture_suffixes
from tests.conftest import write_json_lines

ASKED = DatasetOptions(question="What is it?")


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"-")


def keys_of(root):
    return [sample.key for sample in get_dataset("imagefolder", root, ASKED)]


def test_every_suffix_that_pillow_opens_is_a_pictures(tmp_path, photographs):
    Image.init()
    with Image.open(photographs["wide"]) as image:
        small = image.resize((32, 24))
    for suffix, kind in [
        ("jfif", "JPEG"), ("JPE", "JPEG"), ("avif", "AVIF"), ("jp2", "JPEG2000"), ("tga", "TGA"),
        ("PNM", "PPM"), ("ico", "ICO"), ("qoi", "QOI"), ("dds", "DDS"), ("mpo", "MPO"),
    ]:  # fmt: skip
        if kind in Image.SAVE or kind in Image.SAVE_ALL:
            small.save(tmp_path / f"a{suffix}.{suffix}", kind)
    samples = get_dataset("imagefolder", tmp_path, ASKED)
    # Pillow 11.0 has no AVIF
    assert len(samples) == len(list(tmp_path.iterdir())) >= 8
    for sample in samples:
        with Image.open(tmp_path / str(sample.image)) as image:
            image.load()
    assert samples.notes == []


def test_what_pillow_only_names_is_no_picture():
    assert {".jpg", ".webp", ".tiff", ".gif", ".bmp"} <= picture_suffixes()
    assert not {".mpg", ".h5", ".hdf", ".grib", ".pdf", ".txt", ".heic"} & picture_suffixes()


def test_what_is_left_out_is_counted(tmp_path):
    touch(tmp_path, "a.png", "b.docx", "c.DOCX", "sub/d.heic", "Makefile", "q.txt", ".DS_Store")
    touch(tmp_path, ".git/x.png", "sub/.thumbnails/a.png", "sub/._a.png")
    samples = get_dataset("imagefolder", tmp_path, ASKED)
    assert [s.key for s in samples] == ["a"]
    [note] = samples.notes
    assert note.startswith("left out: ")
    for part in (
        "2 hidden files (.DS_Store, sub/._a.png)",
        "2 hidden folders (.git, sub/.thumbnails)",
        "4 files of unknown kind (.docx, Makefile, .heic)",
        "1 text (q.txt)",
    ):
        assert part in note


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ((), r"holds no image that opens here: it is empty; pass --data-root"),
        (("a.heic", "b.pdf"), r"left out: 2 files of unknown kind \(\.heic, \.pdf\)"),
        ((".hidden/a.png",), r"left out: 1 hidden folder \(\.hidden\)"),
        (("APICLIP_x_demo_3/5_3_LANCZOS_0/a.jpg",), r"1 folder of this program's results \(APICL"),
    ],
)
def test_a_folder_without_pictures_says_what_it_has(names, says, tmp_path):
    touch(tmp_path, *names)
    with pytest.raises(DatasetError, match=says) as raised:
        get_dataset("imagefolder", tmp_path, ASKED)
    assert "--question" not in str(raised.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere is no folder; pass --data-root"):
        get_dataset("imagefolder", tmp_path / "nowhere", ASKED)


def test_pictures_without_a_question_are_counted(tmp_path):
    touch(tmp_path, "a.png", "b.png", "c.heic")
    with pytest.raises(DatasetError, match=r"there are 2 images.*give one --question.*\.heic"):
        get_dataset("imagefolder", tmp_path)


def test_hidden_files_and_folders_are_no_samples(tmp_path):
    touch(tmp_path, "a.png", ".ipynb_checkpoints/a-checkpoint.png", ".cache/deep/b.png")
    touch(tmp_path, ".c.png", "sub/.d.jpg", "sub/.thumbnails/e.jpg", "sub/f.jpg")
    assert keys_of(tmp_path) == ["a", "sub/f"]


def test_results_of_this_program_are_no_samples(tmp_path):
    run = "experiments/APICLIP_imagefolder_demo_3/5_3_LANCZOS_0"
    touch(tmp_path, "a.png", f"{run}/a.jpg", f"{run}/answers/m/b.jpg")
    touch(tmp_path, "experiments/.maps/x/c.png", "out/APILLaVA_mmvet_7b_20/5_3_LANCZOS_0/d.png")
    touch(tmp_path, "out/PLAIN_mmvet/e.png", "renamed/f.jpg", "renamed/deeper/g.jpg")
    (tmp_path / "renamed" / "run.yaml").write_text("config:\n  dataset: demo\nsettings:\n  x: 1\n")
    touch(tmp_path, "mine/h.jpg", "APIARY/i.jpg", "PLAIN/j.jpg")
    (tmp_path / "mine" / "run.yaml").write_text("learning_rate: 1\n")
    assert keys_of(tmp_path) == ["APIARY/i", "PLAIN/j", "a", "mine/h"]
    [note] = get_dataset("imagefolder", tmp_path, ASKED).notes
    assert "4 folders of this program's results" in note


def test_pictures_of_one_stem_keep_their_suffixes_and_others_stay(tmp_path):
    touch(tmp_path, "cat.png", "cat.jpg", "dog.png", "sub/cat.png")
    assert keys_of(tmp_path) == ["cat.jpg", "cat.png", "dog", "sub/cat"]
    touch(tmp_path, "dog.png.webp", "sub/cat.JPG", "sub/cat.jpg")
    assert keys_of(tmp_path) == [
        "cat.jpg", "cat.png", "dog", "dog.png.webp", "sub/cat.JPG", "sub/cat.jpg", "sub/cat.png",
    ]  # fmt: skip


def test_pictures_come_in_natural_order(tmp_path):
    touch(tmp_path, *(f"img{n}.png" for n in (10, 9, 1, 100)), "img.png", "img01.png", "b2/x1.png")
    touch(tmp_path, "b10/x2.png", "b10/x.png")
    assert keys_of(tmp_path) == [
        "b2/x1", "b10/x", "b10/x2", "img", "img01", "img1", "img9", "img10", "img100",
    ]  # fmt: skip


def test_links_to_folders_are_followed_without_going_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "a.png", "sub/b.png")
    touch(elsewhere, "c.png", "deep/d.png")
    (root / "linked").symlink_to(elsewhere)
    (root / "sub" / "up").symlink_to(root)
    (root / "a_link_to_sub").symlink_to(root / "sub")
    (elsewhere / "deep" / "self").symlink_to(elsewhere)
    (root / "itself").symlink_to(root / "itself")
    samples = get_dataset("imagefolder", root, ASKED)
    assert [s.key for s in samples] == ["a", "linked/c", "linked/deep/d", "sub/b"]
    assert "3 links to folders that are there already" in samples.notes[0]


def test_a_link_that_leads_nowhere_is_one_sample_and_a_pipe_none(tmp_path):
    touch(tmp_path, "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "c.png")
    samples = get_dataset("imagefolder", tmp_path, ASKED)
    assert [s.key for s in samples] == ["a", "b"]
    with pytest.raises(FileNotFoundError):
        samples[1].read_image()
    assert samples.notes == ["left out: 1 pipe or device (c.png)"]


def test_a_name_that_is_no_unicode_is_written_out(tmp_path, photographs):
    names = [b"caf\xe9.png", b"caf\xe8.png", "né.png".encode()]
    for name in names:
        shutil.copy(photographs["wide"], os.path.join(os.fsencode(tmp_path), name))  # noqa: PTH118
    samples = get_dataset("imagefolder", tmp_path, ASKED)
    assert {s.key for s in samples} == {"caf\\xe9", "caf\\xe8", "né"}
    assert all(s.read_image() == photographs["wide"].read_bytes() for s in samples)


def test_a_table_is_not_looked_for_beside(tmp_path):
    """A folder with a table is what the table says, whatever else lies there."""
    touch(tmp_path, "a.png", "b.png")
    write_json_lines(tmp_path / "metadata.jsonl", [{"file_name": "a.png", "question": "what?"}])
    assert [s.key for s in get_dataset("imagefolder", tmp_path)] == ["0"]
