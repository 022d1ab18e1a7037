"""Resident memory of this process at its peak (Linux)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch


def megabytes_beyond(work: Callable[[], object]) -> float:
    """What `work` takes at its peak beyond what is held now: on the GPU where there is one."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.max_memory_allocated() / 1e6
        work()
        return torch.cuda.max_memory_allocated() / 1e6 - before
    forget_peak()
    before = peak_megabytes()
    work()
    return peak_megabytes() - before


def peak_megabytes() -> float:
    """Peak resident memory of this process since it began, or since `forget_peak`."""
    # not getrusage, which counts what the parent held when it started this process
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1e3


def forget_peak() -> None:
    """Let the peak be what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
