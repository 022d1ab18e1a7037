"""Several processes: which share of the samples is this one's.

`accelerate launch` and `torchrun` say so in the environment. Results meet as files, so processes
need no connection and wait for nobody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from api_cli.errors import UsageError

T = TypeVar("T")
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")  # in the order of Launch's fields


class Launch(NamedTuple):
    """This process among those started together.

    Attributes:
        rank: number of this process, from 0, over all machines.
        world_size: how many there are.
        local_rank: number of this process on its machine, which is its GPU's.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Launch:
        """What the launcher has put into the environment; one process where there was none.

        Raises:
            UsageError: where what is there makes no sense.
        """
        given = {name: environment.get(name, "").strip() for name in _VARIABLES}
        if not given["RANK"] or not given["WORLD_SIZE"]:
            return cls()
        try:
            launch = cls(*(int(given[name] or 0) for name in _VARIABLES))
        except ValueError:
            launch = cls(-1)
        if not 0 <= launch.rank < launch.world_size or launch.local_rank < 0:
            raise UsageError(
                f"{', '.join(f'{name}={value}' for name, value in given.items() if value)} in the "
                "environment: expected whole numbers, RANK from 0 and below WORLD_SIZE, as "
                "launchers set them; unset them to do all samples in one process"
            )
        return launch

    @property
    def is_first(self) -> bool:
        """Whether this is the process that speaks for all."""
        return self.rank == 0

    def share(
        self,
        items: Sequence[T],
        shard: tuple[int, int] = (0, 1),
        together: Callable[[T, T], bool] = lambda item, following: False,
        grouped: Callable[[T, T], bool] = lambda item, following: False,
    ) -> Sequence[T]:
        """This process's items of shard I of N: neighbours, so that what they share is read once.

        By position in the whole range, not among what is unfinished: processes that look at
        different moments still agree on whose an item is.

        Args:
            items: the whole range.
            shard: I and N.
            together: whether an item and the one that follows it must not be parted.
            grouped: whether an item and the one that follows it had better not be parted, since
                both would be read twice; a share grows or shrinks by an eighth for it at most, at
                either end.
        """
        index, number = shard
        share, shares = index * self.world_size + self.rank, number * self.world_size
        slack = len(items) // shares // 8

        def parts(at: int) -> bool:
            return not 0 < at < len(items) or not grouped(items[at - 1], items[at])

        def cut(at: int) -> int:
            near = (at + way * off for off in range(slack + 1) for way in (1, -1))
            at = next(filter(parts, near), at)
            while 0 < at < len(items) and together(items[at - 1], items[at]):
                at += 1
            return at

        return items[cut(len(items) * share // shares) : cut(len(items) * (share + 1) // shares)]

    def describe(self, mine: int, all_of_them: int, what: str = "samples") -> str:
        """For a message, so that variables left over from another job are noticed.

        Args:
            mine: what this process does.
            all_of_them: what all do.
            what: it is, in words for several.
        """
        return (
            f"process {self.rank + 1} of {self.world_size} by RANK and WORLD_SIZE in the "
            f"environment: does {mine} of {all_of_them} {what}, the others are left to the "
            "other processes"
        )


def default_num_workers(num_workers: int | str) -> int:
    """The number asked for; for "auto" one thread a core this process may use, at most eight."""
    if isinstance(num_workers, int):
        return num_workers
    return min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)
