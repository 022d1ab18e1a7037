"""What a process finds around it: variables of other jobs, streams that are closed, no memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from api_cli.console import Console
from api_cli.errors import UsageError, explain
from api_cli.options.clip import ClipConfig
from api_cli.options.launch import Launch
from api_cli.options.llava import LlavaConfig
from api_cli.runs import model_card
from tests.conftest import clean_environment, read_json_lines, write_clip

FLAGS = ("clip", "--dataset", "imagefolder", "--model-name", "demo")


@pytest.mark.parametrize(
    "environment",
    [{}, {"RANK": "", "WORLD_SIZE": ""}, {"RANK": "1"}, {"WORLD_SIZE": "4"}, {"LOCAL_RANK": "3"}],
)
def test_no_launcher_and_empty_variables_are_one_process(environment):
    assert Launch.read(environment) == Launch(0, 1, 0)


@pytest.mark.parametrize(
    ("rank", "world_size", "local_rank"),
    [("x", "4", "0"), ("4", "4", "0"), ("-1", "4", "0"), ("0", "0", "0"), ("0", "1.5", ""),
     ("1", "2", "-1"), ("9" * 5000, "2", "")],
)  # fmt: skip
def test_senseless_variables_are_wrong_usage_that_names_them(rank, world_size, local_rank):
    environment = {"RANK": rank, "WORLD_SIZE": world_size, "LOCAL_RANK": local_rank}
    with pytest.raises(UsageError, match=rf"RANK={rank}, WORLD_SIZE={world_size}.*unset them"):
        Launch.read(environment)


@pytest.mark.parametrize(("rank", "world_size"), [("0", "2"), ("1", "4"), ("7", "8")])
def test_left_over_variables_say_which_share_is_done(
    rank, world_size, apiprompt, make_dataset, tmp_path
):
    root = make_dataset(("square", "wide", "tall", "grey"))
    process = apiprompt(*FLAGS, "--data-root", root, "--dry-run", RANK=rank, WORLD_SIZE=world_size)
    first, last = (4 * (int(rank) + n) // int(world_size) for n in (0, 1))
    share = last - first
    assert (
        f"process {int(rank) + 1} of {world_size} by RANK and WORLD_SIZE in the environment: "
        f"does {share} of 4 samples" in process.stderr
    )


def test_variables_of_another_subcommand_are_passed_over_and_unknown_ones_named():
    environment = {"APIPROMPT_MAX_NEW_TOKENS": "7", "APIPROMPT_PRETRAINED": "openai"}
    assert LlavaConfig.resolve({}, environment).max_new_tokens == 7
    assert ClipConfig.resolve({}, environment).pretrained == "openai"
    with pytest.raises(UsageError, match="APIPROMPT_PRETRAIND: unknown key; did you mean pretra"):
        ClipConfig.resolve({}, {"APIPROMPT_PRETRAIND": "openai"})
    with pytest.raises(UsageError, match="APIPROMPT_TOKENS: unknown key"):
        LlavaConfig.resolve({}, {"APIPROMPT_TOKENS": "7"})


class Broken:
    """A stream whose reader has left."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise BrokenPipeError

    def isatty(self) -> bool:
        return False


def test_messages_go_nowhere_where_stderr_is_closed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    Console().error("nobody reads this")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), "out of memory; try a smaller --batch-size"),
        (RuntimeError("can't start new thread"), "out of memory"),
        (ImportError("libtorch.so: failed to map segment"), "a package could not be loaded: lib"),
        (PermissionError(13, "Permission denied", "/data/a.jpg"), "/data/a.jpg: Permission denied"),
        (OSError(122, "Disk quota exceeded", "out/a.jpg"), "out/a.jpg: no space left on the disk"),
        (OSError("of Pillow's kind"), "of Pillow's kind"),
        (KeyError("x"), "unexpected KeyError: 'x'"),
    ],
)
def test_whatever_ends_a_command_is_one_line(error, says):
    line = explain(error)
    assert line.startswith(says)
    assert "\n" not in line


def shell(script: str, *arguments: object, cwd: Path, **environment: str) -> tuple[int, str, str]:
    process = subprocess.run(
        ["bash", "-c", script, "bash", sys.executable, "-m", "api_cli", *map(str, arguments)],
        cwd=cwd,
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return process.returncode, process.stdout, process.stderr


@pytest.mark.process
@pytest.mark.parametrize("streams", ["2>&-", "0<&- 2>&-", "2>/dev/full", "2> >(true)"])
def test_a_stderr_that_takes_nothing_fails_nobody_and_says_nothing_on_stdout(
    streams, make_dataset, tmp_path
):
    root = make_dataset()
    status, stdout, _ = shell(f'exec "$@" {streams}', *FLAGS, "--data-root", root, cwd=tmp_path)
    assert status == 0
    [folder] = stdout.splitlines()
    assert len(read_json_lines(tmp_path / folder / "metadata.jsonl")) == 3
    assert not (tmp_path / folder / "errors.jsonl").exists()


INTERRUPTED = """
import os, signal, sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it
sys.argv = ["apiprompt", "clip", "--output-folder", "out"]
from api_cli.__main__ import main
main()
"""


@pytest.mark.process
@pytest.mark.parametrize("name", ["typer", "api_cli.cli", "datasets_manager", "open_clip"])
def test_ctrl_c_while_the_program_starts_is_one_line(name, tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(name=name)],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 130
    [*_, line] = process.stderr.splitlines()
    assert line.startswith("error: interrupted")
    assert "Traceback" not in process.stderr
    assert list(tmp_path.rglob("*.jpg")) == []


@pytest.mark.process
def test_without_a_stdout_the_pictures_are_made_all_the_same(make_dataset, tmp_path):
    root = make_dataset()
    status, _, stderr = shell('exec "$@" >&-', *FLAGS, "--data-root", root, cwd=tmp_path)
    assert (status, "3 samples finished" in stderr) == (0, True), stderr
    status, _, stderr = shell('exec "$@" >/dev/full', *FLAGS, "--data-root", root, cwd=tmp_path)
    assert status == 1
    assert "no space left on the disk" in stderr
    assert "Traceback" not in stderr


@pytest.mark.process
@pytest.mark.parametrize("limit", [140_000, 150_000, 600_000])
def test_no_address_space_is_one_line(limit, make_dataset, tmp_path):
    script = f'ulimit -v {limit}; exec "$@"'
    status, _, stderr = shell(script, *FLAGS, "--data-root", make_dataset(), cwd=tmp_path)
    assert status == 1
    assert "error: " in stderr
    assert "Traceback" not in stderr


def test_what_messages_quote_stays_as_it_is(capsys):
    console = Console()
    for say in (console.say, console.warn, console.error):
        say("no column :cat: in [bold]this[/bold] set")
    lines = capsys.readouterr().err.splitlines()
    assert [line.endswith("no column :cat: in [bold]this[/bold] set") for line in lines] == [
        True
    ] * 3


@pytest.mark.process
def test_an_unknown_locale_and_no_home_are_no_matter(make_dataset, tmp_path):
    root = make_dataset(folder="bilder_\u00e4")
    script = 'unset HOME; exec "$@"'
    out = "ausgabe_\u00e4"
    status, stdout, stderr = shell(
        script,
        *(*FLAGS, "--data-root", root, "--output-folder", out),
        cwd=tmp_path,
        LC_ALL="xx_XX.UTF-8",
    )
    assert status == 0, stderr
    assert stdout.startswith(out)
    assert (tmp_path / stdout.strip() / "metadata.jsonl").exists()


@pytest.mark.model
def test_weights_that_are_not_those_of_their_card_make_nothing(apiprompt, make_dataset, tmp_path):
    folder = tmp_path / "small"
    write_clip(folder, image_size=64, patch_size=16)
    flags = ("clip", "--dataset", "imagefolder", "--data-root", make_dataset())
    apiprompt(*flags, "--model-name", folder, "--range", 0, 1)
    # a card that a file system without change times would have let pass
    words, maps = ("clip", str(folder)), tmp_path / "experiments" / ".maps"
    card = model_card.recall(maps, words)
    assert card is not None
    files = [folder / "open_clip_model.safetensors"]
    model_card.remember(maps, words, card._replace(weights="0" * 16), files)
    process = apiprompt(*flags, "--model-name", folder, "--output-folder", "other", status=0)
    for store in maps.glob("*/"):
        assert card.weights in store.name
    process = apiprompt(
        *flags, "--model-name", folder, "--save-maps", "--enhance-coe", "2", "--overwrite", status=1
    )
    assert f"have changed since they were last looked at, from {'0' * 16} to" in process.stderr
    assert model_card.recall(maps, words) is None
    assert not list((tmp_path / "experiments").glob("API*/2_*/*.jpg"))
