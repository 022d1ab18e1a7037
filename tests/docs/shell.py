"""Runs what pages show in a real shell, in which `apiprompt` starts at once.

The word `apiprompt` is a script there that has the program started by `tests.zygote`, which has
imported everything before; nothing else differs from what a reader types.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import zygote

_SCRIPT = f"""#!{sys.executable} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as place:
    place.connect(os.environ["APIPROMPT_TESTS_SOCKET"])
    asked = dict(words=sys.argv[1:], folder=os.getcwd(), environment=dict(os.environ))
    place.sendall(json.dumps(asked).encode() + b"\\n")
    status, out, err = json.loads(place.makefile().read())
sys.stderr.write(err)
sys.stdout.write(out)
sys.exit(status)
"""


class Shell:
    """A folder, and variables, in which blocks of shell commands are run."""

    def __init__(self, folder: Path, variables: Mapping[str, str], scripts: Path) -> None:
        self.folder = folder
        self._variables = {
            **variables,
            "PATH": f"{scripts}:{Path(sys.executable).parent}:/usr/bin:/bin",
        }

    def run(self, commands: str) -> str:
        """What the commands say on stdout; AssertionError where one of them fails."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{commands}\nstatus {done.returncode}\n{done.stderr}"
        return done.stdout


@contextmanager
def opened_shell(folder: Path, variables: Mapping[str, str]) -> Iterator[Shell]:
    """A shell in that folder, with these variables and no others of the program's."""
    with TemporaryDirectory() as place:
        script = Path(place) / "apiprompt"
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        address = str(Path(place) / "socket")
        with socketserver.ThreadingUnixStreamServer(address, _Starter) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            known = {k: v for k, v in os.environ.items() if not k.startswith("APIPROMPT_")}
            yield Shell(
                folder, {**known, **variables, "APIPROMPT_TESTS_SOCKET": address}, Path(place)
            )
            server.shutdown()
            thread.join()


class _Starter(socketserver.StreamRequestHandler):
    """Starts the program for a script that asks, and tells it what came of it."""

    def handle(self) -> None:
        asked = json.loads(self.rfile.readline())
        asked["environment"].pop("APIPROMPT_TESTS_SOCKET")
        with TemporaryDirectory() as place:
            out, err = Path(place) / "out", Path(place) / "err"
            process = zygote.start(
                asked["words"], Path(asked["folder"]), err, asked["environment"], out=out
            )
            process.join()
            said = [file.read_text(encoding="utf-8", errors="replace") for file in (out, err)]
        self.wfile.write(json.dumps([process.exitcode, *said]).encode())
