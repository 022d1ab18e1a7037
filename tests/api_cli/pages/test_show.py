"""The gallery as files: what stands in the page, what is said of what is gone, and the sheet."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFont

from api_cli.masking.heatmap import overlay
from api_cli.pages.show.contact_sheet import wrap
from api_cli.pages.show.drawing import shrink
from api_cli.pages.show.page import as_script
from tests.api_cli.pages.gallery import ANSWER, HOSTILE, Page, command, make_older, refusal
from tests.conftest import clean_environment, read_json_lines, write_json_lines

SEED = 1  # of a shuffle in which none of three samples gets the damaged picture's mask
pytestmark = pytest.mark.model  # the runs that are shown are made by the demo model


@pytest.fixture(scope="session")
def shown(gallery, tmp_path_factory):
    """The page of both runs."""
    folder = tmp_path_factory.mktemp("page")
    path = command("show", *gallery.runs, "--output", folder / "SHOW", "--quiet").strip()
    return Path(path)


def show(folder, *words):
    """Data of a page."""
    return Page(Path(command("show", *words, "--output", folder, "--quiet").strip())).data


def rgb(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int16)


def distance(one, other):
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def drawn(folder, made):
    """Titles and contents of a run's pictures of a sample, its heat map first."""
    pictures = [("Heat", made["heat"]), *made["pictures"]] if "heat" in made else []
    return [(title, rgb((folder / source).read_bytes())) for title, (source, *_) in pictures]


def test_a_page_has_every_sample_with_its_texts(gallery, shown):
    data = Page(shown).data
    assert [sample["key"] for sample in data["samples"]] == gallery.keys, "in the dataset's order"
    for sample, (key, question) in zip(data["samples"], HOSTILE.items(), strict=False):
        assert (sample["key"], sample["question"], sample["expected"]) == (key, question, ["two"])
    assert [sample["groups"] for sample in data["samples"][:2]] == [["<b>animals</b>"], ["things"]]
    assert [run["label"] for run in data["runs"]] == [run.name for run in gallery.runs]


def test_answers_stand_with_their_scores_and_failures_as_what_they_are(gallery, shown):
    data = Page(shown).data
    assert data["asked"] == ["some/model, prompt plain"]
    [[plain, masked, other]] = data["samples"][0]["answers"]
    assert (plain["text"], plain["score"]) == ("three", 0)
    assert (masked["text"], masked["score"]) == ("two", 1)
    assert other is None, "nobody asked about the second run"
    assert data["samples"][1]["answers"][0][1]["text"] == ANSWER
    [[plain, failed, _]] = data["samples"][3]["answers"]
    assert plain["score"] == 1
    assert failed == {"error": "ask: TimeoutError: <b>the server</b> was silent"}, "and no zero"
    assert data["samples"][4]["answers"][0][1] == {"error": "not asked yet"}
    assert data["samples"][5]["answers"][0] == [None, None, None], "it was not asked for"
    damaged = data["samples"][6]
    assert damaged["question"] is None
    assert all(run["error"].startswith("read: OSError") for run in damaged["runs"])
    assert isinstance(damaged["original"], str)


def test_thumbnails_are_the_pictures_made_smaller(gallery, tmp_path):
    data = show(tmp_path, gallery.runs[0], "--thumbnail-side", 96)
    samples = {sample["key"]: sample for sample in data["samples"]}
    for row in read_json_lines(gallery.runs[0] / "metadata.jsonl"):
        sample = samples[row["key"]]
        [[title, (source, width, height)]] = sample["runs"][0]["pictures"]
        assert title == "Masked"
        small = Image.open(tmp_path / source)
        assert (small.size, max(width, height)) == ((width, height), 96)
        masked = Image.open(gallery.runs[0] / row["file_name"])
        assert distance(np.asarray(small), np.asarray(masked.resize(small.size))) < 6
        assert sample["original"][1:] == [width, height], "as a person sees it"
    original = Image.open(tmp_path / samples[gallery.keys[1]]["original"][0])
    wanted = Image.open(gallery.pictures / "1.jpg").resize(original.size)
    assert distance(np.asarray(original), np.asarray(wanted)) < 6


@pytest.mark.parametrize("shuffled", [False, True], ids=["own", "another's"])
@pytest.mark.parametrize("fit", ["paper", "pad"])
def test_a_heat_map_is_that_of_the_kept_maps_and_of_the_saved_ones(
    fit, shuffled, gallery, tmp_path
):
    control = ("--shuffle-masks", SEED) if shuffled else ()
    [run] = command(
        *("clip", "--dataset", "imagefolder", "--data-root", gallery.pictures, "--range", 1, 4),
        *("--model-name", "demo", "--fit", fit, "--output-folder", tmp_path / "out", *control),
        *("--save-maps", "--quiet"),
    ).splitlines()  # fmt: skip
    kept = show(tmp_path / "kept", run)
    shutil.rmtree(tmp_path / "out" / ".maps")
    saved = show(tmp_path / "saved", run)
    for sample, other in zip(kept["samples"], saved["samples"], strict=True):
        source, *size = sample["runs"][0]["heat"]
        assert other["runs"][0]["heat"] == [source, *size], "the same content has the same name"
        row = next(
            r for r in read_json_lines(Path(run) / "metadata.jsonl") if r["key"] == sample["key"]
        )
        cls_map, patch_map = np.load(Path(run) / f"{Path(row['file_name']).stem}.npy")
        a = (cls_map - cls_map.min()) / (cls_map.max() - cls_map.min())
        b = (patch_map.max() - patch_map) / (patch_map.max() - patch_map.min())
        if fit == "paper":  # the whole grid lies over the whole picture
            original = Image.open(tmp_path / "kept" / sample["original"][0])
            literal = overlay(original, a + b - a * b, (0, 0, a.shape[1], a.shape[0]))
            drawn = Image.open(tmp_path / "kept" / source)
            assert distance(np.asarray(drawn), np.asarray(literal)) < 4


def test_what_is_gone_is_said_in_its_place(broken, tmp_path):
    moved = shutil.copytree(broken.pictures, tmp_path / "moved")
    for run in broken.runs:
        record = run / "run.yaml"
        record.write_text(record.read_text().replace(str(broken.pictures), str(tmp_path / "gone")))
    shutil.rmtree(broken.root / "out" / ".maps")
    sample = show(tmp_path / "a", *broken.runs)["samples"][0]
    assert sample["original"].startswith("the dataset cannot be opened: ")
    assert sample["runs"][0]["heat"] == "its map is not kept any more"
    assert sample["runs"][0]["pictures"][0][1][0].startswith("thumbnails/"), "the rest is there"

    [changed, _] = sorted(moved.glob("0.*")) + sorted(moved.glob("1.*"))
    Image.new("RGB", (30, 20), "red").save(changed)
    (moved / "1.jpg").unlink()
    masked = next(broken.runs[0].glob("*.png"))
    masked.write_bytes(b"no picture")
    samples = show(tmp_path / "b", *broken.runs, "--data-root", moved)["samples"]
    assert samples[0]["original"] == "the dataset has another picture now"
    assert samples[2]["original"][0].startswith("thumbnails/")
    pictures = [sample["runs"][0]["pictures"][0][1] for sample in samples[:6]]
    assert [p for p in pictures if isinstance(p, str)] == [
        "OSError: this is no picture of a format that Pillow can read"
    ]


def test_a_heat_map_without_its_original_is_drawn_over_grey(broken, tmp_path):
    for run in broken.runs:
        record = run / "run.yaml"
        record.write_text(record.read_text().replace(str(broken.pictures), str(tmp_path / "gone")))
    sample = show(tmp_path / "a", *broken.runs)["samples"][0]
    source, width, height = sample["runs"][0]["heat"]
    assert [width, height] == sample["runs"][0]["pictures"][0][1][1:]
    assert (tmp_path / "a" / source).is_file()


def test_a_page_lets_nothing_in_and_nothing_out(gallery, shown):
    page = Page(shown)
    tags = [tag for tag, _ in page.elements]
    assert (tags.count("script"), tags.count("style"), tags.count("img")) == (2, 1, 0)
    assert all(not attribute.startswith("on") for _, a in page.elements for attribute in a)
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data", "style"):
            assert (attributes.get(name) or "#").startswith("#"), tag
    rules = dict(rule.split(" ", 1) for rule in page.policy.split("; "))
    assert rules.pop("default-src") == "'none'"
    assert rules.pop("img-src") == "'self' file: data:"
    assert set(rules) == {"style-src", "script-src", "base-uri", "form-action"}
    digests = [
        f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"
        for tag, text in page.texts
        if tag != "title"
    ]
    assert rules["style-src"] == digests[0]
    assert rules["script-src"] == digests[2], "the data's own is not run"
    assert "alert(1)" not in re.sub(
        r'<script type="application/json".*?</script>', "", page.content
    )


def test_run_folders_with_hostile_names_are_shown_by_them(broken, tmp_path):
    run = broken.runs[0].rename(broken.runs[0].with_name("<script>alert(1)<!-- {{data}}"))
    page = Page(Path(command("show", run, "--output", tmp_path / "a", "--quiet").strip()))
    assert page.data["runs"][0]["label"].endswith("<script>alert(1)<!-- {{data}}")
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 2


def test_a_manifest_leads_to_no_file_elsewhere(broken, tmp_path):
    rows = read_json_lines(broken.runs[0] / "metadata.jsonl")
    elsewhere = next(broken.pictures.glob("0.*"))
    rows[0]["file_name"] = f"../../../{elsewhere.name}"
    rows[1]["file_name"] = str(elsewhere)
    write_json_lines(broken.runs[0] / "metadata.jsonl", rows)
    samples = {s["key"]: s for s in show(tmp_path / "a", broken.runs[0])["samples"]}
    for row in rows[:2]:
        [[_, picture]] = samples[row["key"]]["runs"][0]["pictures"]
        assert picture == "the manifest names no file of the run folder"


def test_every_picture_of_a_row_is_shown(broken, tmp_path):
    rows = read_json_lines(broken.runs[0] / "metadata.jsonl")
    crop = f"{Path(rows[0]['file_name']).stem}.crop.png"
    Image.new("RGB", (40, 30), "blue").save(broken.runs[0] / crop)
    rows[0] |= {"crop_file_name": crop}
    write_json_lines(broken.runs[0] / "metadata.jsonl", rows)
    samples = {s["key"]: s for s in show(tmp_path / "a", broken.runs[0])["samples"]}
    [masked, (title, (source, *size))] = samples[rows[0]["key"]]["runs"][0]["pictures"]
    assert (masked[0], title, size) == ("Masked", "Crop", [40, 30])
    assert distance(rgb((tmp_path / "a" / source).read_bytes()), np.array([0, 0, 255])) < 3


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_a_run_into_shards_is_shown_as_its_folder_is(kind, gallery, tmp_path):
    words = (
        *("clip", "--dataset", "imagefolder", "--data-root", gallery.pictures, "--model-name"),
        *("demo", "--output-folder", tmp_path, "--format", "png", "--render", "pair", "--quiet"),
    )
    shards = ("--output-format", kind, "--shard-size", 3, "--output-folder", tmp_path / kind)
    pages = {}
    for name, more in (("of_folder", ()), ("of_shards", shards)):
        run = command(*words, *more, status=3).strip()
        pages[tmp_path / name] = show(tmp_path / name, run)["samples"]
    (folder, of_folder), (other, of_shards) = pages.items()
    assert [sample["key"] for sample in of_shards] == gallery.keys
    for sample, known in zip(of_shards, of_folder, strict=True):
        [made], [wanted] = sample["runs"], known["runs"]
        assert (sample["question"], made.get("error")) == (known["question"], wanted.get("error"))
        for (title, picture), (same, shown_there) in zip(
            drawn(other, made), drawn(folder, wanted), strict=True
        ):
            assert title == same
            assert distance(picture, shown_there) < 1


def test_a_single_file_has_the_same_pictures_in_it(gallery, shown, tmp_path):
    words = ("show", *gallery.runs, "--single-file", "--output", tmp_path / "one", "--quiet")
    path = Path(command(*words).strip())
    assert [file.name for file in path.parent.iterdir()] == ["index.html"]
    for one, beside in zip(Page(path).data["samples"], Page(shown).data["samples"], strict=True):
        if isinstance(beside["original"], str):
            assert one["original"] == beside["original"]
            continue
        kind, content = one["original"][0].split(",")
        assert kind == "data:image/jpeg;base64"
        assert base64.b64decode(content) == (shown.parent / beside["original"][0]).read_bytes()


def test_a_page_is_made_again_in_its_place_and_nowhere_else(gallery, tmp_path):
    show(tmp_path / "a", *gallery.runs)
    before = {path.name for path in (tmp_path / "a" / "thumbnails").iterdir()}
    mine = tmp_path / "a" / "thumbnails" / "mine.jpg"
    mine.write_bytes(b"mine")
    data = show(tmp_path / "a", gallery.runs[0], "--range", 0, 2)
    assert len(data["samples"]) == 2
    after = {path.name for path in (tmp_path / "a" / "thumbnails").iterdir()}
    assert after - before == {"mine.jpg"}
    assert len(after) == 2 * 3 + 1
    for taken in (gallery.pictures, gallery.runs[0], mine):
        listing = sorted(taken.iterdir()) if taken.is_dir() else None
        said = refusal("show", gallery.runs[0], "--output", taken, "--quiet")
        assert f"--output {taken}: " in said
        assert listing is None or sorted(taken.iterdir()) == listing


def test_runs_below_a_folder_are_all_shown_and_none_is_said(gallery, tmp_path):
    data = show(tmp_path / "a", gallery.root / "out")
    assert sorted(run["label"] for run in data["runs"]) == sorted(run.name for run in gallery.runs)
    assert "no run folder named" in refusal("show")
    assert "no run folder" in refusal("show", gallery.pictures)
    assert "nothing to show" in refusal("show", gallery.runs[0], "--range", 90, 99)


def test_answers_about_originals_may_be_named_or_stand_beside(broken, tmp_path):
    [plain] = (broken.root / "out").glob("PLAIN_*")
    beside = show(tmp_path / "a", *broken.runs)["samples"]
    assert show(tmp_path / "b", *broken.runs, plain)["samples"] == beside
    elsewhere = plain.rename(tmp_path / plain.name)
    data = show(tmp_path / "c", *broken.runs)
    assert not data["plain"]
    assert data["samples"][0]["answers"][0][0] is None
    assert show(tmp_path / "d", *broken.runs, elsewhere)["samples"] == beside
    (record,) = elsewhere.glob("answers/*/ask.yaml")
    record.write_text(record.read_text().replace("about:", "about:\n  split: other"))
    assert not show(tmp_path / "e", *broken.runs, elsewhere)["plain"], "of another part of the set"


def test_samples_are_grouped_by_any_column(gallery, tmp_path):
    data = show(tmp_path / "a", gallery.runs[0], "--by", "answer")
    assert {group for sample in data["samples"] for group in sample["groups"]} == {"two"}


def test_scores_that_are_older_than_their_answers_are_told(broken, tmp_path):
    assert show(tmp_path / "a", broken.runs[0])["notes"] == []
    [scores] = broken.runs[0].glob("answers/*/scores.jsonl")
    make_older(scores)
    [note] = show(tmp_path / "a", broken.runs[0])["notes"]
    assert str(scores.parent) in note


def test_a_contact_sheet_has_a_row_a_sample_and_a_column_a_run(gallery, tmp_path):
    path = tmp_path / "sheet.png"
    words = ("--contact-sheet", path, "--range", 0, 2, "--thumbnail-side", 200, "--quiet")
    assert command("show", *gallery.runs, *words).strip() == str(path)
    sheet = np.asarray(Image.open(path).convert("RGB"), np.int16)
    data = show(tmp_path / "a", *gallery.runs, "--range", 0, 2, "--thumbnail-side", 200)
    gap, line = 12, 20
    top = gap + line
    for sample in data["samples"]:
        lines = len(wrap(f"{sample['key']}: {sample['question']}", ImageFont.load_default(15),
                         sheet.shape[1] - 2 * gap, 3))  # fmt: skip
        y, x, tallest = top + gap + lines * line, gap, 0
        pictures = [sample["original"], *(run["pictures"][0][1] for run in sample["runs"])]
        for source, width, height in pictures:
            there = sheet[y : y + height, x : x + width]
            assert distance(there, rgb((tmp_path / "a" / source).read_bytes())) < 5
            x += 200 + gap
            tallest = max(tallest, height)
        assert (sheet[top + gap : y].min(axis=(0, 1)) < 90).all(), "the question is written"
        top = y + tallest + gap
    assert sheet.shape[:2] == (top, 3 * 200 + 4 * gap)


def test_a_sheet_says_in_place_of_a_picture_that_it_failed(gallery, tmp_path):
    path = tmp_path / "a" / "sheet.jpg"
    command("show", gallery.runs[0], "--contact-sheet", path, "--range", 5, 7, "--quiet")
    sheet = np.asarray(Image.open(path).convert("L"))
    assert (sheet[-50:-20, 20:150] < 160).any(), "why, in letters"
    for name, words in (("sheet.gif", ()), ("sheet", ())):
        said = refusal("show", gallery.runs[0], "--contact-sheet", tmp_path / name, *words)
        assert "expected a name that ends in" in said


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.integers(40, 400), st.integers(1, 4))
def test_lines_of_a_caption_fit_and_lose_nothing_unsaid(text, width, most):
    font = ImageFont.load_default(15)
    lines = wrap(text, font, width, most)
    assert 1 <= len(lines) <= most
    assert all(font.getlength(line) <= width or len(line) <= 4 for line in lines)
    words = "".join("".join(c if c.isprintable() else " " for c in text).split())
    written = "".join("".join(lines).split())
    assert written == words or (written.endswith("...") and words.startswith(written[:-3]))


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.text() | st.integers() | st.none(), st.lists))
def test_whatever_stands_in_the_data_ends_no_script(value):
    text = as_script({"a": value})
    assert json.loads(text) == {"a": value}
    assert text.isascii()
    assert not set("<>&") & set(text)


def test_a_jpeg_is_shrunk_to_what_it_is_when_decoded_whole(photographs):
    with Image.open(photographs["wide"]) as whole:
        small, size = shrink(photographs["wide"].read_bytes(), 64)
        assert size == whole.size
        assert max(small.size) == 64
        wanted = whole.convert("RGB").resize(small.size, Image.Resampling.BOX)
    assert distance(np.asarray(small), np.asarray(wanted)) < 4
    _, size = shrink(photographs["rotated"].read_bytes(), 64)
    assert size == (215, 320), "as a person sees it"


def test_showing_starts_nothing_heavy(gallery, tmp_path):
    script = (
        "import sys\nfrom api_cli.cli import main\n"
        f"words = ['show', {str(gallery.runs[0])!r}, '--output', 'page', '--quiet']\n"
        "sys.argv = ['apiprompt', *words]\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'open_clip', 'datasets', 'torchvision'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "page/index.html"
