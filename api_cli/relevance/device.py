"""Devices and precisions, the same for every auxiliary model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from api_cli.errors import UsageError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PRECISIONS = tuple(DTYPES)

_ROOM = 0.8  # of a device's free memory that weights may take; the rest is for the work


def pick_device(device: str, local_rank: int = 0) -> torch.device:
    """The device of that name; "auto" is CUDA, else Apple's MPS, else the CPU.

    Args:
        device: "auto", or what `torch.device` takes.
        local_rank: which of the machine's processes asks, for "auto" to give each its GPU.

    Raises:
        UsageError: for a name torch does not know or a device this machine does not have.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local_rank % torch.cuda.device_count())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        picked = torch.device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"--device {device}: not to be had here ({reason}); try --device auto or cpu"
        ) from error
    return picked


def default_batch_size(device: torch.device, on_cpu: int) -> int:
    """Many on a GPU, where the belt halves what does not fit; few elsewhere."""
    return 64 if device.type == "cuda" else on_cpu


def has_room(device: torch.device, size: int) -> bool:
    """Whether weights of `size` bytes fit on a GPU beside their work; True for other devices."""
    return device.type != "cuda" or size <= _ROOM * torch.cuda.mem_get_info(device)[0]


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Run the model within in that precision; weights stay float32. For fp32 nothing changes."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


@contextmanager
def fused_attention(device: torch.device) -> Iterator[None]:
    """Have `nn.MultiheadAttention` call SDPA within, except on a CPU.

    Its own fast path for inference forms the attention matrix of every head, which costs memory on
    a GPU; on a CPU it is the faster of the two.
    """
    was_on = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(was_on and device.type == "cpu")
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_on)
