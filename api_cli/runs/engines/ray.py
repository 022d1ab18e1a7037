"""Fragments dealt to an elastic pool of actors of a Ray cluster; the only module that knows Ray.

An actor is a `Worker`: it does a fragment, and writes whole shards where they stay. Neither
pictures nor results pass through Ray, only tasks and reports. So an actor that is lost costs the
fragment that it was at, which another one does anew; shards that both write are equal.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from api_cli.console import Console
from api_cli.errors import ApipromptError, Interrupted, ModelError, UsageError, explain, first_line
from api_cli.options.launch import Launch
from api_cli.options.run import RunConfig
from api_cli.runs.jobs import Report
from api_cli.runs.shards.worker import Done, Recipe, Task, Worker
from api_cli.signals import Arrived, deferred

TRIES = 3  # of a fragment, and of actors in a row that do not even start
_HOPELESS = 3  # fragments that are given up before any is done end the run
_SECONDS_BETWEEN_LOOKS = 0.5  # whether a signal has arrived
_PATIENCE = 30.0  # seconds without an actor after which it is said what they ask for
_MOST_CPUS = 8  # of an actor, where nobody says how many

_Handle = Any  # Ray's, of an actor or of what it will answer


def do_on_cluster(
    recipe: Recipe, tasks: Sequence[Task], console: Console, progress: Callable[[Report], None]
) -> Iterator[Done]:
    """Do fragments, in whatever order they get done.

    Args:
        recipe: how.
        tasks: what.
        console: for messages.
        progress: is not called, since nobody here hears of single samples.

    Raises:
        ApipromptError: where there is no cluster, its actors do not start, or the model will not
            do.
        Interrupted: after SIGINT, SIGTERM or SIGHUP; what is in flight is given up.
    """
    with _cluster(recipe.config) as ray:
        share = _share_of_actor(ray, recipe.config)
        if recipe.config.num_workers == "auto":
            config = replace(recipe.config, num_workers=max(1, int(share.cpus)))
            recipe = recipe._replace(config=config)
        console.say(f"actors of {share.cpus:g} CPUs and {share.gpus:g} GPUs, at most {share.most}")
        with deferred() as arrived:
            yield from _Pool(ray, recipe, share, console).run(tasks, arrived)


class _Share(NamedTuple):
    """What an actor asks of its cluster, and how many there are at least and at most."""

    cpus: float
    gpus: float
    least: int
    most: int


class _Answer(NamedTuple):
    """What an actor says of a task.

    Attributes:
        done: what became of it.
        again: whether another try may do better.
        fatal: why no fragment will be done; None where others may.
    """

    done: Done
    again: bool = False
    fatal: str | None = None


class _Actor:
    """A worker in a process of the cluster."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._worker: Worker | None = None

    def ready(self) -> None:
        """Answers once the process stands."""

    def do(self, task: Task) -> _Answer:
        """Do a fragment; whatever goes wrong is answered."""
        try:
            if self._worker is None:
                self._worker = Worker(self._recipe, Console(quiet=True), Launch())
            return _Answer(self._worker(task))
        except Exception as error:
            done = Done(task.fragment.number, Report(), explain(error))
            fatal = isinstance(error, ModelError | UsageError)
            return _Answer(done, isinstance(error, OSError), explain(error) if fatal else None)


class _Pool:
    """Actors, and the tasks that they are at."""

    def __init__(self, ray: Any, recipe: Recipe, share: _Share, console: Console) -> None:
        self._ray = ray
        self._recipe = ray.put(recipe)
        self._share = share
        self._console = console
        names = recipe.config.forward_env or ()
        missing = [name for name in names if name not in os.environ]
        if missing:
            raise UsageError(f"--forward-env {', '.join(missing)}: not in the environment")
        self._class = ray.remote(_Actor).options(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_restarts=0,  # what is lost is made anew here, where it is known for which fragment
            max_task_retries=0,
            **({"runtime_env": {"env_vars": {n: os.environ[n] for n in names}}} if names else {}),
        )
        self._queue: deque[Task] = deque()
        self._busy: dict[_Handle, tuple[_Handle, Task | None]] = {}  # by what they will answer
        self._tries: Counter[int] = Counter()
        self._stillborn = 0  # actors in a row that did not start
        self._finished = self._given_up = 0

    def run(self, tasks: Sequence[Task], arrived: Arrived) -> Iterator[Done]:
        """Do all tasks; raises as `do_on_cluster`."""
        self._queue.extend(tasks)
        since, started = time.monotonic(), False
        while self._queue or self._working:
            self._grow()
            ready, _ = self._ray.wait(list(self._busy), timeout=_SECONDS_BETWEEN_LOOKS)
            if arrived.signal is not None:
                raise Interrupted(arrived.signal)
            for answer in ready:
                started = True
                done = self._take(answer)
                if done is not None:
                    yield done
            if not started and time.monotonic() - since > _PATIENCE:
                self._say_what_is_asked()
                since = time.monotonic()

    @property
    def _working(self) -> int:
        """How many tasks are being worked on."""
        return sum(task is not None for _, task in self._busy.values())

    def _grow(self) -> None:
        """Ask for actors: the least number at once, then as many at a time as there are already."""
        starting = len(self._busy) - self._working
        wanted = min(self._share.most, self._working + len(self._queue))
        while len(self._busy) < wanted and (
            len(self._busy) < self._share.least or starting < max(1, self._working)
        ):
            actor = self._class.remote(self._recipe)
            self._busy[actor.ready.remote()] = (actor, None)
            starting += 1

    def _take(self, answer: _Handle) -> Done | None:
        """What is to be said of a task whose actor has answered, or is lost; deal it the next."""
        actor, task = self._busy.pop(answer)
        try:
            said: _Answer | None = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor)
            return self._lost(task, error)
        self._stillborn = 0
        done = None if said is None or task is None else self._judge(task, said)
        self._deal(actor)
        return done

    def _judge(self, task: Task, said: _Answer) -> Done | None:
        """What is to be said of a task by its actor's answer. Raises ModelError."""
        if said.fatal is not None:
            raise ModelError(said.fatal)
        if said.done.error is None:
            self._finished += 1
            return said.done
        return self._again(task, said.done.error) if said.again else said.done

    def _deal(self, actor: _Handle) -> None:
        if self._queue:
            task = self._queue.popleft()
            self._busy[actor.do.remote(task)] = (actor, task)
        else:
            self._ray.kill(actor)  # its share is for others

    def _lost(self, task: Task | None, error: Exception) -> Done | None:
        """An actor is no more: its task is for another one, unless it has cost several."""
        if task is None:
            self._stillborn += 1
            if self._stillborn >= TRIES:
                raise ApipromptError(
                    f"{TRIES} actors in a row did not start: {_reason(error)}. Are apiprompt and "
                    "its packages, in the same versions, on all nodes?"
                ) from error
            return None
        if getattr(error, "preempted", False):  # no fault of the fragment's
            self._queue.append(task)
            return None
        return self._again(task, f"its actor died ({_reason(error)})")

    def _again(self, task: Task, why: str) -> Done | None:
        """Try a task again, after all others; or give it up."""
        number = task.fragment.number
        self._tries[number] += 1
        if self._tries[number] < TRIES:
            self._queue.append(task)
            return None
        why = f"{why}, {TRIES} times"
        self._given_up += 1
        if self._given_up >= _HOPELESS and not self._finished:
            raise ApipromptError(
                f"{_HOPELESS} fragments could not be done, and none could, the last since {why}; "
                "stopped. The same command tries them again"
            )
        return Done(number, Report(), why)

    def _say_what_is_asked(self) -> None:
        there = self._ray.cluster_resources()
        self._console.warn(
            f"no actor has started yet: each asks for {self._share.cpus:g} CPUs and "
            f"{self._share.gpus:g} GPUs, and the cluster has {there.get('CPU', 0):g} and "
            f"{there.get('GPU', 0):g} in all, if nobody else uses them"
        )


@contextmanager
def _cluster(config: RunConfig) -> Iterator[Any]:
    """Ray, connected to the cluster named, or to one of this machine's own that ends with it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_SCHEDULER_EVENTS", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = config.ray_address or os.environ.get("RAY_ADDRESS")
    if address is None:  # a secret of this run's, which Ray would else keep in the home folder
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 100 * 2**20}
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--engine ray: Ray is not installed; pip install 'apiprompt[ray]', on all nodes"
        ) from None
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        ray.init(
            address or "local",
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else own),
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ApipromptError(
            f"no Ray cluster at {address or 'this machine'}: {_reason(error)}; see --ray-address"
        ) from error
    try:
        for number, handler in handlers.items():  # Ray's own ends the process with a trace
            signal.signal(number, handler)
        yield ray
    finally:
        ray.shutdown()


def _share_of_actor(ray: Any, config: RunConfig) -> _Share:
    """What an actor asks for: as the configuration says, else its part of a node."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = config.gpus_per_actor
    if gpus is None:
        gpus = 1 if config.device != "cpu" and any(node.get("GPU") for node in nodes) else 0
    fitting = [node for node in nodes if node.get("CPU") and node.get("GPU", 0) >= gpus]
    cpus = config.cpus_per_actor
    if cpus is None:
        parts = [node["CPU"] // (node["GPU"] // gpus if gpus >= 1 else 1) for node in fitting]
        cpus = max(1, min(_MOST_CPUS, *parts, _MOST_CPUS))
    room = sum(
        int(min(node["CPU"] // cpus, node["GPU"] // gpus if gpus else node["CPU"]))
        for node in fitting
    )
    least, most = config.actors or (1, None)
    return _Share(cpus, gpus, least, max(least, room) if most is None else most)


def _reason(error: BaseException) -> str:
    """What Ray says in its first lines, as one."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300].rstrip(" .") or first_line(error)
