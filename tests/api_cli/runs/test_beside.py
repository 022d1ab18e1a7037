"""One picture, one question: what is named on the command line is masked beside itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from api_cli.cli import app
from api_cli.console import Console
from api_cli.errors import UsageError
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.runs.run import run
from datasets_manager import DatasetOptions, get_dataset

QUESTION = "What colour is the cat?"


@pytest.fixture
def here(tmp_path: Path, photographs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, which is the working directory, with three photographs in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("wide", "square", "tall"):
        shutil.copy(photographs[name], folder)
    monkeypatch.chdir(folder)
    for name in ("APIPROMPT_DATASET", "APIPROMPT_OUTPUT_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    return folder


def call(*words: object, question: str = QUESTION, command: str = "clip") -> Any:
    words = (command, *words, "--question", question, "--model-name", "demo")
    return CliRunner().invoke(app, [str(word) for word in words])


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


BEFORE = {"wide.jpg", "square.png", "tall.png"}


@pytest.mark.model
@pytest.mark.parametrize("config_class", [ClipConfig, LlavaConfig])
def test_a_picture_is_that_of_a_run_over_its_folder_to_the_byte(config_class, here):
    flags = {"question": QUESTION, "model_name": "demo", "enhance_coe": "2,7", "fit": "pad"}
    given = {"dataset": "imagefolder", "data_root": ".", "output_folder": "out"}
    folders, _ = run(config_class.resolve({**flags, **given}, {}), Console(quiet=True), Launch())
    config = config_class.resolve({**flags, "pictures": ["wide.jpg", "tall.png"]}, {})
    written, report = run(config, Console(quiet=True), Launch())
    assert report is not None
    assert report.finished == 2
    expected = [folder / f"{stem}.jpg" for stem in ("wide", "tall") for folder in folders]
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in expected]


@pytest.mark.model
def test_it_is_written_beside_the_picture_and_nothing_else_is_left(here):
    result = call("wide.jpg")
    assert (result.exit_code, result.stdout) == (0, "wide.masked.jpg\n")
    assert files() == {*BEFORE, "wide.masked.jpg"}
    first = Path("wide.masked.jpg").read_bytes()
    assert call("wide.jpg", "--enhance-coe", 1).exit_code == 0, "its own results are replaced"
    assert Path("wide.masked.jpg").read_bytes() != first


@pytest.mark.model
def test_a_broken_picture_costs_itself_alone(here):
    Path("half.jpg").write_bytes(Path("wide.jpg").read_bytes()[:2000])
    result = call("half.jpg", "gone.jpg", "wide.jpg", "square.png", "--format", "source")
    assert result.exit_code == 3
    assert result.stdout.splitlines() == ["wide.masked.jpg", "square.masked.png"]
    assert "error: half.jpg: OSError: " in result.stderr
    assert "error: gone.jpg: FileNotFoundError" in result.stderr
    assert "2 of 4 pictures failed" in result.stderr


def test_pictures_that_are_all_missing_need_no_model(here):
    result = call("gone.jpg", "--pretrained", "no-such-weights")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "gone.jpg: no such file" in result.stderr


@pytest.mark.model
def test_settings_of_a_sweep_are_named_apart(here):
    result = call("wide.jpg", "--enhance-coe", "1,5", "--grayscale", "0,9", "--output", "out")
    names = [f"out/wide.masked.3_{c}_3_LANCZOS_{g}.jpg" for c in (1, 5) for g in (0, 9)]
    assert result.stdout.splitlines() == names
    assert files() == {*BEFORE, *names}


@pytest.mark.model
def test_output_is_a_file_for_one_picture_and_never_replaces_what_is_anothers(here):
    assert call("wide.jpg", "--output", "made.png").stdout == "made.png\n"
    with Image.open("made.png") as made:
        assert made.format == "PNG"
    result = call("wide.jpg", "--output", "made.png", "--enhance-coe", 1)
    assert isinstance(result.exception, UsageError)
    assert "it is there already; --overwrite replaces it" in str(result.exception)
    assert call("wide.jpg", "--output", "made.png", "--overwrite").exit_code == 0
    for words in (["wide.jpg", "--overwrite"], ["./wide.jpg"]):
        result = call(*words, "--output", "wide.jpg")
        assert "that is the picture itself" in str(result.exception)
    assert "says no format" in str(call("wide.jpg", "--output", "made.txt").exception)
    several = call("wide.jpg", "tall.png", "--output", "made.png")
    assert "name a folder" in str(several.exception)


@pytest.mark.model
def test_pictures_that_differ_in_suffix_or_folder_alone_do_not_meet(here):
    Image.open("wide.jpg").save("wide.png")
    Path("other").mkdir()
    shutil.copy("wide.jpg", "other")
    result = call("wide.jpg", "wide.png", "other/wide.jpg")
    names = ["wide.jpg.masked.jpg", "wide.png.masked.jpg", "other/wide.masked.jpg"]
    assert result.stdout.splitlines() == names
    assert call("wide.png").stdout == "wide.png.masked.jpg\n", "alone as together"
    Path("wide.png").unlink()
    result = call("wide.jpg", "other/wide.jpg", "--output", "out")
    assert "would both become out/wide.masked" in str(result.exception)


@pytest.mark.model
def test_its_own_results_are_never_its_input(here):
    call("wide.jpg", "square.png", "--save-maps")
    pictures = sorted(str(path) for path in Path().iterdir() if path.suffix in (".jpg", ".png"))
    result = call(*(f"./{name}" for name in pictures))
    assert result.stdout.splitlines() == [
        "square.masked.jpg", "tall.masked.jpg", "wide.masked.jpg",
    ]  # fmt: skip
    assert "left out: 6 results of this program" in result.stderr
    found = get_dataset("imagefolder", ".", DatasetOptions(question="?"))
    assert [sample.key for sample in found] == ["square", "tall", "wide"]
    assert "7 results of this program beside pictures" in found.notes[0]
    Path("wide.jpg").unlink()  # then it is a picture like any other
    found = get_dataset("imagefolder", ".", DatasetOptions(question="?"))
    assert "wide.masked" in [sample.key for sample in found]


@pytest.mark.model
def test_llava_says_its_answer_on_stderr(here):
    result = call("wide.jpg", command="llava")
    assert result.stdout == "wide.masked.jpg\n"
    assert "wide.jpg: " in result.stderr
    assert call("wide.jpg", "--quiet", command="llava").stderr == ""


@pytest.mark.model
def test_maps_are_kept_only_where_a_store_is_there_already(here):
    Path("experiments/.maps").mkdir(parents=True)
    call("wide.jpg")
    assert list(Path("experiments/.maps").glob("*/maps-*"))
    again = call("wide.jpg", "--enhance-coe", 1)
    assert again.exit_code == 0
    assert "loading" not in again.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["wide.jpg", "--range", "0", "3"], "--range does not go with pictures"),
        (["wide.jpg", "--dataset", "mmvet"], "--dataset does not go with pictures"),
        (["wide.jpg", "--shuffle-masks", "0"], "--shuffle-masks does not go with"),
        (["wide.jpg", "--output-folder", "out"], "say where with --output"),
        (["."], ". is a folder: name pictures, or use --dataset imagefolder --data-root ."),
        (["--output", "out"], "--output is for pictures named on the command line"),
    ],
)
def test_what_does_not_go_with_pictures_is_said_before_anything_is_loaded(words, says, here):
    result = call(*words)
    assert isinstance(result.exception, UsageError)
    assert says in str(result.exception)
    assert files() == BEFORE


@pytest.mark.parametrize("question", [" ", "\n", "<image>", " <image> "])
@pytest.mark.parametrize("command", ["clip", "llava", "ask"])
def test_a_blank_question_is_wrong_usage(question, command, here):
    flags = ["--dataset", "imagefolder", "--data-root", "."]
    result = CliRunner().invoke(app, [command, *flags, "--question", question])
    assert isinstance(result.exception, UsageError)
    assert "--question: expected a text that is not blank" in str(result.exception)


def test_pictures_want_a_question_and_take_a_preset_that_names_a_dataset(here):
    with pytest.raises(UsageError, match="--question: say what is asked"):
        ClipConfig.resolve({"pictures": ["wide.jpg"]}, {})
    environment = {"APIPROMPT_DATASET": "POPE", "APIPROMPT_RANGE": "0 3"}
    given = {"pictures": ["wide.jpg", "a,b.jpg"], "question": "Where?"}
    config = ClipConfig.resolve(given, environment, "mmvet")
    assert config.pictures == (Path("wide.jpg"), Path("a,b.jpg"))
    assert (config.enhance_coe, config.model) == ((1,), "ViT-L-14-336")
    assert ClipConfig.resolve(given, {}).model == "ViT-L-14-336", "the demo set's is for the set"
    Path("printed.yaml").write_text(config.to_yaml())
    assert ClipConfig.resolve({}, {}, "printed.yaml") == config


@pytest.mark.process
def test_a_shell_loop_gets_a_path_and_a_status_from_each(apiprompt, tmp_path, photographs):
    shutil.copy(photographs["wide"], tmp_path / "my_photo.jpg")
    flags = ("--question", QUESTION, "--model_name", "demo", "--dry_run")
    assert apiprompt("clip", "my_photo.jpg", *flags).stderr.splitlines()[-1] == (
        "would write my_photo.masked.jpg"
    )
    assert apiprompt("clip", "gone_photo.jpg", *flags, status=3).stdout == ""
