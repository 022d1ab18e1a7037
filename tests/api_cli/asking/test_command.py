"""The command itself: what may be said, what it says, and what it imports."""

from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image
from typer.testing import CliRunner

from api_cli.cli import app
from api_cli.errors import UsageError
from api_cli.options.ask import AskConfig
from tests.api_cli.asking.conftest import write_pictures, write_run
from tests.conftest import clean_environment


def test_what_is_resolved_reads_back_as_the_same(tmp_path):
    flags = {
        "runs": ["a", "b/c"],
        "temperature": "none",
        "extra_body": '{"top_k": 1, "stop": ["a,b"]}',
        "shard": "1/3",
        "range": ("2", "9"),
        "import_batch": "out.jsonl,err.jsonl",
        "rpm": "60",
    }
    config = AskConfig.resolve(flags, {"APIPROMPT_MODEL": "m", "APIPROMPT_MAX_SIDE": "512"})
    assert (config.model, config.max_side) == ("m", 512)
    assert config.extra_body == {"top_k": 1, "stop": ["a,b"]}
    (tmp_path / "ask.yaml").write_text(config.to_yaml())
    assert AskConfig.resolve({}, {}, str(tmp_path / "ask.yaml")) == config


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("temperature", "hot"),
        ("extra_body", "{"),
        ("extra_body", "[1]"),
        ("rpm", "0"),
        ("timeout", "-1"),
        ("concurrency", "0"),
        ("token_field", "tokens"),
        ("image_format", "gif"),
        ("shard", "3/3"),
        ("backend", "vllm"),
    ],
)
def test_a_value_that_will_not_do_names_its_flag(flag, value):
    with pytest.raises(UsageError, match=f"--{flag.replace('_', '-')}: expected"):
        AskConfig.resolve({flag: value}, {})


def test_folders_go_to_stdout_and_the_rest_to_stderr(server, tmp_path):
    run = write_run(write_pictures(tmp_path / "pictures", 3), tmp_path / "out")
    server.faults["What is 1?"] = [400]
    flags = ["ask", str(run), "--plain", "--model", "small", "--base_url", server.url]
    result = CliRunner().invoke(app, flags)
    assert result.exit_code == 3
    masked, plain = result.stdout.splitlines()
    assert masked.startswith(str(run / "answers" / "small-"))
    assert f"{tmp_path}/out/PLAIN_imagefolder-" in plain
    assert "5 answered" in result.stderr
    assert "1 without an answer; errors.jsonl says why" in result.stderr
    again = CliRunner().invoke(app, [*flags, "--quiet"])
    assert (again.exit_code, again.stderr) == (0, "")
    server.reply = {"choices": [{"message": {"content": ""}, "finish_reason": "length"}]}
    cut = CliRunner().invoke(app, [*flags, "--max-tokens", "3"])
    assert cut.exit_code == 3
    assert "6 answered with nothing: the model spent its --max-tokens 3" in cut.stderr


def test_what_a_set_of_originals_leaves_out_is_said_once(server, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.pdf").write_bytes(b"%PDF")
    of_set = ["--dataset", "imagefolder", "--data-root", str(tmp_path), "--question", "What?"]
    to = ["--model", "small", "--base-url", server.url, "--output-folder", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["ask", *of_set, *to])
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("left out: 1 file of unknown kind (.pdf)") == 1


@pytest.mark.process
def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys, api_cli.asking.ask, api_cli.asking.local\n"
        "heavy = {'openai', 'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=clean_environment())
