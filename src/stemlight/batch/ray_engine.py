"""Runs tasks on Ray: actors that each load what they need once, replaced when they die.

One task at a time is with each actor. So it is always known whose fault a death was, a task waits
for nobody, and no more results than there are actors can pile up.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Generic

from stemlight.batch.engines import Lost, MakeWorker, Result, Returned, Task, pause_seconds
from stemlight.batch.ray_connection import connected
from stemlight.errors import OutputError, StemlightError, UsageError

__all__ = ["RayEngine"]

_POLL_SECONDS = 1.0
_LONGEST_REASON = 300
_DETAIL = "Worker exit detail: "  # words of Ray
_GUESSES = " Some common causes"
_MOST_WAITING = 3  # tasks a worker, with those that failed and pause


@dataclass(frozen=True)
class RayEngine:
    """Runs tasks on so many actors of a cluster, or of Ray started on this machine.

    While tasks wait, actors are added up to `max_workers`, each time as many as there are; those
    that find no room wait, which is what a cluster's autoscaler looks at. Once no more tasks come,
    actors without one are given back. An actor is replaced when it dies, hangs or raises, and
    before its task is tried again there is a pause, longer each time, in which others are done.

    Raises:
        UsageError: a number is out of its range.
    """

    n_workers: int
    _: KW_ONLY
    max_workers: int | None = None
    """None: never more than `n_workers`."""
    address: str | None = None
    """None: that of RAY_ADDRESS, else Ray is started on this machine, and stopped at the end."""
    n_attempts: int = 3
    timeout_seconds: float | None = None
    """How long an attempt may take; None: as long as it likes."""
    gpus_per_worker: float = 0.0
    """Below 1, actors share a GPU."""
    cpus_per_worker: float = 1.0

    def __post_init__(self) -> None:
        for name in ("n_workers", "n_attempts"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.most_workers < self.n_workers:
            raise UsageError(
                f"max_workers is {self.max_workers} but n_workers is {self.n_workers}; it must be "
                "as many or more"
            )
        for name in ("timeout_seconds", "cpus_per_worker"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} is {value}; it must be above 0")
        gpus = self.gpus_per_worker
        if not 0 <= gpus < math.inf or (gpus > 1 and gpus % 1):
            raise UsageError(
                f"gpus_per_worker is {gpus}; it must be a share from 0 to 1, or a whole number"
            )

    @property
    def most_workers(self) -> int:
        """How many actors there may be."""
        return self.n_workers if self.max_workers is None else self.max_workers

    def run(
        self, make_worker: MakeWorker[Task, Result], tasks: Iterable[Task]
    ) -> Iterator[Returned[Task, Result] | Lost[Task]]:
        """See `Engine`. Workers are in the folder that this process is in, where they have it.

        Raises:
            MissingExtraError: Ray is not installed.
            UsageError: there is no Ray at the address, or this machine lacks GPUs.
            StemlightError: no worker could be started; the one that it raised, if it did.
        """
        n_cpus = self.most_workers * self.cpus_per_worker
        with connected(self.address, n_cpus, self.gpus_per_worker) as ray:
            yield from _Crew(self, ray, make_worker).run(tasks)


class _Actor:
    """What Ray keeps in a process."""

    def __init__(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            os.chdir(folder)
        self._do: Callable[[Any], Any] | None = None

    def start(self, make_worker: MakeWorker[Any, Any]) -> str:
        """Make the worker, and return the node that it is on."""
        self._do = make_worker()
        return str(import_module("ray").get_runtime_context().get_node_id())

    def do(self, task: Any) -> Any:
        """Do one task."""
        assert self._do is not None, "it is started first"
        return self._do(task)


@dataclass(eq=False)
class _Job(Generic[Task]):
    """A task that has not ended."""

    task: Task
    n_attempts: int = 0
    nodes: set[str] = field(default_factory=set)
    """Where it failed."""
    due: float = 0.0
    """When it may be tried."""


@dataclass(eq=False)
class _Worker(Generic[Task]):
    """An actor, and what is awaited of it."""

    actor: Any
    awaited: Any = None
    """Of its start, or of a task."""
    node: str | None = None
    """None until it is started."""
    job: _Job[Task] | None = None
    since: float = 0.0
    """When its task began."""


class _Crew(Generic[Task, Result]):
    """The actors of one run."""

    def __init__(self, engine: RayEngine, ray: Any, make_worker: MakeWorker[Task, Result]) -> None:
        self.engine = engine
        self.ray = ray
        self.make_worker = make_worker
        self.actor_class = ray.remote(_Actor).options(
            num_cpus=engine.cpus_per_worker, num_gpus=engine.gpus_per_worker
        )
        self.workers: list[_Worker[Task]] = []
        self.waiting: deque[_Job[Task]] = deque()
        self.ended: deque[Returned[Task, Result] | Lost[Task]] = deque()
        self.n_wanted = engine.n_workers
        self.n_failed_starts = 0  # since the last that went well
        self.start_at = 0.0

    def run(self, tasks: Iterable[Task]) -> Iterator[Returned[Task, Result] | Lost[Task]]:
        rest: Iterator[Task] | None = iter(tasks)
        try:
            while True:
                while rest is not None and self._wants_more:
                    try:
                        self.waiting.append(_Job(next(rest)))
                    except StopIteration:
                        rest = None
                self._assign()
                self._resize(is_last=rest is None)
                if self.ended:
                    yield self.ended.popleft()
                elif rest is None and not self.waiting and not self._busy:
                    return
                else:
                    self._wait()
        finally:
            for worker in list(self.workers):
                self._dismiss(worker)

    @property
    def _busy(self) -> list[_Worker[Task]]:
        return [worker for worker in self.workers if worker.job is not None]

    @property
    def _idle(self) -> list[_Worker[Task]]:
        return [worker for worker in self.workers if worker.awaited is None]

    @property
    def _starting(self) -> list[_Worker[Task]]:
        return [worker for worker in self.workers if worker.node is None]

    @property
    def _due(self) -> list[_Job[Task]]:
        now = time.monotonic()
        return [job for job in self.waiting if job.due <= now]

    @property
    def _wants_more(self) -> bool:
        """Whether workers could soon be without a task, and not all tasks fail."""
        n_most = _MOST_WAITING * self.n_wanted
        return len(self._due) < self.n_wanted and len(self.waiting) < n_most

    def _assign(self) -> None:
        """Give each worker a task: one that did not fail on its node before, if there is one."""
        due = self._due
        for worker in self._idle[: len(due)]:
            job = next((job for job in due if worker.node not in job.nodes), due[0])
            due.remove(job)
            self.waiting.remove(job)
            worker.job = job
            job.n_attempts += 1
            worker.awaited = worker.actor.do.remote(job.task)
            worker.since = time.monotonic()

    def _resize(self, *, is_last: bool) -> None:
        """Ask for actors while tasks wait, and give back those that nothing is left for."""
        now = time.monotonic()
        if self._due and not self._idle and not self._starting:
            self.n_wanted = min(2 * self.n_wanted, self.engine.most_workers)
        n_unfinished = len(self.waiting) + len(self._busy)
        while len(self.workers) < min(self.n_wanted, n_unfinished) and now >= self.start_at:
            self._hire()
        if is_last:
            n_surplus = max(0, len(self.workers) - n_unfinished)
            for worker in [*self._starting, *self._idle][:n_surplus]:
                self._dismiss(worker)

    def _hire(self) -> None:
        actor = self.actor_class.remote(str(Path.cwd()))
        self.workers.append(_Worker(actor, awaited=actor.start.remote(self.make_worker)))

    def _dismiss(self, worker: _Worker[Task]) -> None:
        self.workers.remove(worker)
        if self.ray.is_initialized():
            self.ray.kill(worker.actor)

    def _wait(self) -> None:
        """Wait until something happens; see to one worker that has ended, and to all that hang."""
        awaited = {worker.awaited: worker for worker in self.workers if worker.awaited is not None}
        limit = self.engine.timeout_seconds or math.inf
        now = time.monotonic()
        moments = [worker.since + limit for worker in self._busy]
        moments += [self.start_at, *(job.due for job in self.waiting)]
        seconds = min(_POLL_SECONDS, *(each - now for each in moments if each > now), math.inf)
        if not awaited:  # nothing is due yet
            time.sleep(seconds)
            return
        ready, _ = self.ray.wait([*awaited], timeout=seconds, fetch_local=False)
        for reference in ready:
            self._take(awaited[reference])
        now = time.monotonic()
        for worker in self._busy:
            if now - worker.since > limit and worker.awaited not in ready:
                self._failed(worker, f"it took longer than {limit:g} s")

    def _take(self, worker: _Worker[Task]) -> None:
        """Fetch what the worker returned or raised."""
        try:
            value = self.ray.get(worker.awaited)
        except self.ray.exceptions.RayTaskError as error:
            self._failed(worker, _in_one_line(error.cause), error.cause)
            return
        except self.ray.exceptions.RayError as error:
            self._failed(worker, _end_of_worker(error))
            return
        worker.awaited = None
        if worker.node is None:
            worker.node = value
            self.n_failed_starts = 0
            return
        job, worker.job = worker.job, None
        assert job is not None, "a worker that is awaited starts or has a task"
        self.ended.append(Returned(job.task, value, job.n_attempts))

    def _failed(self, worker: _Worker[Task], reason: str, error: Exception | None = None) -> None:
        """Replace the worker, for nobody knows what state it is in, and try its task again."""
        self._dismiss(worker)
        if worker.job is None:
            self._failed_to_start(reason, error)
            return
        job = worker.job
        if worker.node is not None:
            job.nodes.add(worker.node)
        if job.n_attempts < self.engine.n_attempts:
            job.due = time.monotonic() + pause_seconds(job.n_attempts)
            self.waiting.append(job)
        else:
            self.ended.append(Lost(job.task, reason, job.n_attempts))

    def _failed_to_start(self, reason: str, error: Exception | None) -> None:
        self.n_failed_starts += 1
        self.start_at = time.monotonic() + pause_seconds(self.n_failed_starts)
        if any(worker.node is not None for worker in self.workers):
            return
        if isinstance(error, StemlightError):
            raise error
        if self.n_failed_starts < self.engine.n_attempts * self.engine.n_workers:
            return
        raise OutputError(
            f"no worker could be started, at {self.n_failed_starts} attempts: {reason}"
        ) from error


def _in_one_line(error: BaseException) -> str:
    name = "" if isinstance(error, StemlightError) else f"{type(error).__name__}: "
    return _short(f"{name}{error}")


def _end_of_worker(error: Exception) -> str:
    """Say in one line what Ray says in many: the first name the actor, and guesses stand last."""
    _, _, detail = str(error).rpartition(_DETAIL)
    told = [
        line for line in detail.splitlines() if not re.match(r"\t\w+: |The actor died unexp", line)
    ]
    return _short(f"its worker died: {' '.join(told).partition(_GUESSES)[0]}")


def _short(text: str) -> str:
    return textwrap.shorten(text, _LONGEST_REASON, placeholder=" ...")
