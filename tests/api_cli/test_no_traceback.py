"""Whatever stands in flags, variables and YAML: one line and an exit status, never a traceback.

`python -m tests.api_cli.test_no_traceback 5000` tries so many.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from api_cli.cli import main
from api_cli.options.clip import ClipConfig
from api_cli.options.llava import LlavaConfig

NAMES = sorted({*ClipConfig.options(), *LlavaConfig.options()})

# no separators: a folder above could be a whole disk
text = st.text(st.characters(exclude_characters="/\\"), max_size=12).filter(
    lambda value: ".." not in value
)
plausible = st.sampled_from(
    [
        *("", "0", "1", "-1", "1,2", "auto", "demo", "imagefolder", "hf:a", "webdataset:x"),
        *(
            "7b",
            "true",
            "0 3",
            "1/2",
            "png",
            "fp16",
            "1e400",
            "\x00",
            "None",
            "9" * 400,
            "~",
            "nan",
        ),
    ]
)
scalar = st.one_of(
    plausible, text, st.integers(), st.floats(), st.booleans(), st.none(), st.dates(), st.binary()
)
value = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=2),
    max_leaves=4,
)
mapping = st.dictionaries(st.sampled_from(NAMES) | text, value, max_size=4)
document = st.one_of(
    mapping.map(lambda content: yaml.dump(content).encode()),
    st.fixed_dictionaries({"settings": value, "config": mapping | value}).map(
        lambda content: yaml.dump(content).encode()
    ),
    value.map(lambda content: yaml.dump(content).encode()),
    st.text(max_size=40).map(lambda content: content.encode("utf-8", "surrogatepass")),
    st.binary(max_size=40),
    st.sampled_from([b"a: &a [*a]", b"&a {a: *a}", b"[" * 3000, b"!!python/object:os.system {}"]),
)
# what a process can be given has no zeros, and no surrogates but those that stand for bytes
word = (
    (plausible | text)
    .filter(lambda value: "\x00" not in value)
    .map(lambda value: os.fsdecode(value.encode("utf-8", "replace")))
)
variables = st.dictionaries(
    st.sampled_from([f"APIPROMPT_{name.upper()}" for name in NAMES]), word, max_size=3
) | st.dictionaries(
    st.sampled_from(["RANK", "WORLD_SIZE", "LOCAL_RANK", "APIPROMPT_", "APIPROMPT_NOSUCH", "LANG"]),
    word | st.sampled_from(["0", "1", "2", "-3", "x"]),
)
flags = st.lists(st.tuples(st.sampled_from(NAMES), word), max_size=4)


@contextmanager
def ground() -> Iterator[Path]:
    """An empty folder to start from, with one picture in it; signals as they were afterwards."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        yield Path(folder)
    for number, handler in before.items():
        signal.signal(number, handler)


def check(
    command: str, given_flags: list[tuple[str, str]], variables: Mapping[str, str], yaml_file: bytes
) -> None:
    """Run a command as far as `--dry-run` goes, and see how it ends."""
    with ground() as folder:
        Path("config.yaml").write_bytes(yaml_file)
        arguments = ["apiprompt", command, "--config", "config.yaml"]
        for name, word in given_flags:
            arguments += [f"--{name}={word}"]
        arguments += ["--dry-run", "--output-folder", "out"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("APIPROMPT_")}
        environment = {**clean, "HF_HUB_OFFLINE": "1", **variables}
        stdout, stderr = io.StringIO(), io.StringIO()
        status: Any = 0
        with (
            patch.object(sys, "argv", arguments),
            patch.dict(os.environ, environment, clear=True),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
        ):
            try:
                main()
            except SystemExit as end:
                status = end.code or 0
        said = stderr.getvalue()
        assert status in (0, 1, 2), said
        assert "Traceback" not in said
        assert "error: unexpected" not in said, said
        assert said.strip() or status == 0
        assert {path.name for path in folder.iterdir()} <= {"config.yaml", "out"}


def promise(examples: int) -> Callable[[], None]:
    """The promise, over so many examples."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples < 1000,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),
        database=None,
    )
    @given(st.sampled_from(["clip", "llava"]), flags, variables, st.just(b"") | document)
    def holds(
        command: str, flags: list[tuple[str, str]], variables: dict[str, str], yaml_file: bytes
    ) -> None:
        check(command, flags, variables, yaml_file)

    return holds


@pytest.mark.model  # it may come as far as to look for one
def test_whatever_a_user_says_there_is_no_traceback():
    promise(60)()


if __name__ == "__main__":
    promise(int(sys.argv[1]))()
    print(f"{sys.argv[1]} examples: no traceback")
