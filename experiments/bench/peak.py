"""Resident memory of this process at its peak (Linux)."""

from __future__ import annotations

from pathlib import Path


def peak_megabytes() -> float:
    """Peak resident memory of this process since it began, or since `forget_peak`."""
    # not getrusage, which counts what the parent held when it started this process
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1e3


def forget_peak() -> None:
    """Let the peak be what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
