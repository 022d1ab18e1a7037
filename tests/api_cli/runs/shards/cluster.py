"""A real Ray cluster of this machine, and a real S3 over HTTP, for tests marked `cluster`."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

_ATTEMPTS = 3
ROOT = Path(__file__).parents[4]
NONE: Mapping[str, str] = {}
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_memory_monitor_refresh_ms": "0",  # else it kills workers where the whole machine is full
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_niceness": "0",  # else whatever else runs here comes first
    "HF_HUB_OFFLINE": "1",
    "COLUMNS": "200",
    "PYTHONPATH": str(ROOT),  # of actors too: tests bring sets of their own
}


def why_no_ray() -> str | None:
    """Why tests that need a cluster do not run; None where they do."""
    return None if find_spec("ray") else "Ray is not installed: `make test-all` brings it"


def moto_server() -> str | None:
    """The program that stands in for S3; None where there is none."""
    return os.environ.get("MOTO_SERVER") or shutil.which("moto_server")


def environment(variables: Mapping[str, str] = NONE) -> dict[str, str]:
    """Of processes of these tests."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("APIPROMPT_", "RAY_", "AWS_"))}
    return {**own, **QUIET, **variables}


@contextmanager
def ray_cluster(cpus: int, folder: Path) -> Iterator[str]:
    """A cluster with so many CPUs by its own account, which logs to a folder; its address."""
    for attempt in range(_ATTEMPTS):
        log = folder / f"ray-{attempt}.log"
        port = free_port()
        start = [str(Path(sys.executable).parent / "ray"), "start", "--head", f"--port={port}"]
        start += [f"--num-cpus={cpus}", "--include-dashboard=false", "--block"]
        start += ["--object-store-memory=100000000"]
        # where these are given, a busy machine has the time that it needs
        agents = ("dashboard-agent-grpc", "dashboard-agent-listen", "runtime-env-agent")
        start += [f"--{agent}-port={free_port()}" for agent in (*agents, "metrics-export")]
        with log.open("wb") as file:
            process = subprocess.Popen(start, env=environment(), stdout=file, stderr=file)
        try:
            if _wait_for(partial(_is_settled, process, log), 200) and process.poll() is None:
                yield f"127.0.0.1:{port}"
                return
        finally:
            process.terminate()
            process.wait(timeout=60)
    raise AssertionError(log.read_text())


def _is_settled(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether a cluster stands, or its start has failed."""
    return process.poll() is not None or "runtime started" in log.read_text()


@contextmanager
def object_store(folder: Path) -> Iterator[Mapping[str, str]]:
    """A server that speaks S3, with a bucket `runs`; the variables that lead to it."""
    port = free_port()
    program = moto_server()
    assert program is not None
    with (folder / "moto.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
    try:
        assert _wait_for(lambda: _accepts(port), 120), "moto_server did not start"
        url = f"http://127.0.0.1:{port}"
        make = urllib.request.Request(f"{url}/runs", method="PUT")
        urllib.request.urlopen(make, timeout=30).close()
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        process.terminate()
        process.wait(timeout=30)


def start_run(
    log: Path, *arguments: object, variables: Mapping[str, str] = NONE
) -> subprocess.Popen[bytes]:
    """Start `apiprompt clip` with the demo model; what it says is appended to a file."""
    words = [sys.executable, "-m", "api_cli", "clip", "--model-name", "demo"]
    with log.open("ab") as file:
        return subprocess.Popen(
            [*words, *map(str, arguments)],
            env=environment(variables),
            cwd=log.parent,
            stdout=file,
            stderr=file,
        )


def finish_run(
    log: Path, *arguments: object, status: int = 0, variables: Mapping[str, str] = NONE
) -> str:
    """Run it to its end; what it says."""
    before = log.stat().st_size if log.exists() else 0
    code = start_run(log, *arguments, variables=variables).wait(timeout=400)
    said = log.read_bytes()[before:].decode()
    assert code == status, f"{code}\n{said}"
    return said


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it holds after so long at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False
