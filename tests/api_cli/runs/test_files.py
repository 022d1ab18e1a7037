"""Files appear whole or not at all, leftovers of the dead go, locks say whom they wait for."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api_cli.errors import explain
from api_cli.runs import locks
from api_cli.runs.files import naming, remove_leftovers, write_whole
from api_cli.runs.locks import Lock

HOLD = """
import sys, time
from pathlib import Path
from api_cli.runs.locks import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that holds a lock until it is told to let go."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    write_whole(tmp_path / "a.jpg", b"old")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
        with pytest.raises(OSError, match=r"a\.jpg") as raised:
            write_whole(tmp_path / "a.jpg", bytes(50_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno == errno.EFBIG
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
    assert (tmp_path / "a.jpg").read_bytes() == b"old"
    with pytest.raises(FileNotFoundError, match=r"gone/b\.jpg"):
        write_whole(tmp_path / "gone" / "b.jpg", b"new")


def test_a_full_disk_is_named_with_the_way_out(tmp_path):
    with (
        pytest.raises(OSError, match="No space left") as raised,
        naming(tmp_path / "run"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
    line = explain(raised.value)
    assert line.startswith(f"{tmp_path / 'run'}: no space left on the disk; what is finished stays")


@pytest.mark.parametrize(
    "name",
    [
        f".{socket.gethostname()}.999999999.140000.tmp",  # of this machine
        ".node17.4711.140000.tmp",  # of another
        f".{socket.gethostname()}.1.7f0c.tmp",  # of a container: its number is a living one here
        f".a.host.with.dots.{os.getpid()}.{'0' * 16}.tmp",
    ],
    ids=["here", "elsewhere", "container", "dots"],
)
def test_leftovers_of_the_dead_are_removed_wherever_they_ran(name, tmp_path):
    (tmp_path / name).write_bytes(b"half")
    os.utime(tmp_path / name, (1, 1))
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_is_being_written_and_what_is_not_ours_stays(tmp_path):
    living = tmp_path / ".node17.4711.140000.tmp"
    for name in (".notes.tmp", "a.b.1.2.tmp", ".node17.4711.140000.tmp~"):
        (tmp_path / name).write_text("not ours")
    with living.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        remove_leftovers(tmp_path)
        assert living.exists()
        assert len(list(tmp_path.iterdir())) == 4
    remove_leftovers(tmp_path)
    assert not living.exists()
    assert len(list(tmp_path.iterdir())) == 3
    remove_leftovers(tmp_path / "nowhere")
    remove_leftovers(tmp_path / ".notes.tmp")


def test_files_are_whole_though_somebody_clears_leftovers_all_the_time(tmp_path):
    done = threading.Event()

    def clear() -> None:
        while not done.is_set():
            remove_leftovers(tmp_path)

    with ThreadPoolExecutor(4) as pool:
        clearing = [pool.submit(clear) for _ in range(2)]
        writing = [
            pool.submit(write_whole, tmp_path / f"{i}", bytes([i % 256]) * 9000) for i in range(400)
        ]
        for future in writing:
            future.result()
        done.set()
        for future in clearing:
            future.result()
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(400))
    assert all(path.stat().st_size == 9000 for path in tmp_path.iterdir())


def test_a_lock_is_held_by_one_thread_at_a_time_and_again_by_the_same(tmp_path):
    lock, inside, most = Lock(tmp_path / ".lock"), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with lock, lock:
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert (tmp_path / ".lock").read_bytes() == b"", "nobody holds it"
    with pytest.raises(FileNotFoundError), Lock(tmp_path / "nowhere" / ".lock"):
        pass


@pytest.mark.process
def test_who_waits_for_a_stopped_process_says_so_once_and_waits_on(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(locks, "_PATIENCE", 0.2)
    holder = hold(tmp_path / ".lock")
    holder.send_signal(signal.SIGSTOP)
    entered = threading.Event()

    def wait() -> None:
        with Lock(tmp_path / ".lock"):
            entered.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not entered.wait(1.0)
    said = capsys.readouterr().err
    assert said.count("waiting for") == 1
    assert f"{tmp_path / '.lock'}, which process {holder.pid} on " in said.replace("\n", "")
    holder.send_signal(signal.SIGCONT)
    holder.communicate("let go\n")
    assert entered.wait(10)
    waiting.join()


@pytest.mark.process
def test_the_lock_of_a_killed_process_is_free(tmp_path, capsys):
    holder = hold(tmp_path / ".lock")
    holder.kill()
    holder.communicate()
    with Lock(tmp_path / ".lock"):
        assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text()
    assert capsys.readouterr().err == ""
