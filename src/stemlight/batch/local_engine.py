"""Runs tasks in processes of this machine, any of which may die.

Each process has a pipe of its own and one task at a time, so that it is always known whose fault a
death was, and nobody waits for a lock that a dead process holds. A process ends with the one that
started it, however that ends.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from multiprocessing.connection import wait
from typing import Generic

from stemlight.batch.engines import Lost, MakeWorker, Result, Returned, Task, pause_seconds
from stemlight.batch.local_process import Job, Process, Started, in_one_line
from stemlight.errors import OutputError, StemlightError, UsageError

__all__ = ["LocalEngine"]

_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class LocalEngine:
    """Runs tasks in so many processes, started anew when they die, hang or raise.

    Before a task is tried again there is a pause, longer each time, in which others are done.

    Raises:
        UsageError: a number is out of its range.
    """

    n_workers: int
    _: KW_ONLY
    n_attempts: int = 3
    timeout_seconds: float | None = None
    """How long an attempt may take; None: as long as it likes."""
    n_threads: int = 1
    """Of linear algebra in each process, unless OMP_NUM_THREADS says otherwise."""

    def __post_init__(self) -> None:
        for name in ("n_workers", "n_attempts", "n_threads"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.timeout_seconds is not None and not 0 < self.timeout_seconds < math.inf:
            raise UsageError(f"timeout_seconds is {self.timeout_seconds}; it must be above 0")

    def run(
        self, make_worker: MakeWorker[Task, Result], tasks: Iterable[Task]
    ) -> Iterator[Returned[Task, Result] | Lost[Task]]:
        """See `Engine`.

        Raises:
            StemlightError: no worker could be started; the one that it raised, if it did.
        """
        crew = _Crew(self, make_worker, tasks)
        try:
            yield from crew.run()
        finally:
            crew.stop()


class _Crew(Generic[Task, Result]):
    """The processes of one run."""

    def __init__(
        self, engine: LocalEngine, make_worker: MakeWorker[Task, Result], tasks: Iterable[Task]
    ) -> None:
        self._engine = engine
        self._make_worker = make_worker
        self._rest: Iterator[Task] | None = iter(tasks)
        self._next: Job[Task] | None = None
        self._again: deque[Job[Task]] = deque()
        self._processes: list[Process[Task]] = []
        self._n_failed_starts = 0  # since the last that went well
        self._start_at = 0.0

    def run(self) -> Iterator[Returned[Task, Result] | Lost[Task]]:
        """Do all tasks."""
        while True:
            self._assign()
            busy = [each for each in self._processes if each.job is not None]
            if not busy and not self._again and self._peek() is None:
                return
            for process in self._wait(busy):
                ended = self._take(process)
                if ended is not None:
                    yield ended
            for process in busy:
                ended = self._check_time(process)
                if ended is not None:
                    yield ended

    def stop(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.kill()
        self._processes.clear()

    def _peek(self) -> Job[Task] | None:
        """Return the next new job, which stays the next one until it is taken."""
        if self._next is None and self._rest is not None:
            try:
                self._next = Job(next(self._rest))
            except StopIteration:
                self._rest = None
        return self._next

    def _pop(self) -> Job[Task] | None:
        """Return a job to do now: a failed one whose pause is over, or a new one."""
        now = time.monotonic()
        for job in self._again:
            if job.due <= now:
                self._again.remove(job)
                return job
        if len(self._again) >= 2 * self._engine.n_workers:
            return None  # where everything fails, new ones had better wait, too
        job_or_none = self._peek()
        self._next = None
        return job_or_none

    def _assign(self) -> None:
        """Give each process a job, and start processes while there are more jobs."""
        for process in self._processes:
            if process.job is None and (job := self._pop()) is not None:
                process.give(job)
        while len(self._processes) < self._engine.n_workers and time.monotonic() >= self._start_at:
            job = self._pop()
            if job is None:
                return
            try:
                process = Process[Task](self._make_worker, self._engine.n_threads)
            except OSError as error:  # no more memory, or processes
                self._again.appendleft(job)
                self._failed_to_start(in_one_line(error))
                return
            self._processes.append(process)
            process.give(job)

    def _wait(self, busy: list[Process[Task]]) -> list[Process[Task]]:
        """Wait until something happens; return the processes that have sent something."""
        now = time.monotonic()
        limit = self._engine.timeout_seconds or math.inf
        moments = [process.since + limit for process in busy] + [job.due for job in self._again]
        if len(self._processes) < self._engine.n_workers:
            moments.append(self._start_at)
        seconds = min(_POLL_SECONDS, *(each - now for each in moments if each > now), math.inf)
        connections = [process.connection for process in self._processes]
        if not connections:
            time.sleep(seconds)
            return []
        ready = wait(connections, seconds)
        return [process for process in self._processes if process.connection in ready]

    def _take(self, process: Process[Task]) -> Returned[Task, Result] | Lost[Task] | None:
        """See to what a process has sent, or to its end."""
        message = process.receive()
        if message is None:
            return self._failed(process, process.end())
        if isinstance(message, Started):
            if message.fault is not None:
                process.kill()
                return self._failed(process, message.fault, message.error)
            process.is_started = True
            process.since = time.monotonic()
            self._n_failed_starts = 0
            return None
        if message.fault is not None:
            process.kill()
            return self._failed(process, message.fault)
        job, process.job = process.job, None
        assert job is not None, "a process sends the result of its job"
        return Returned(job.task, message.result, job.n_attempts + 1)

    def _check_time(self, process: Process[Task]) -> Lost[Task] | None:
        limit = self._engine.timeout_seconds
        if limit is None or process.job is None or process not in self._processes:
            return None
        if time.monotonic() - process.since <= limit or process.connection.poll():
            return None
        process.kill()
        return self._failed(process, f"it took longer than {limit:g} s")

    def _failed(
        self, process: Process[Task], reason: str, error: StemlightError | None = None
    ) -> Lost[Task] | None:
        """Let go of a process that is no more, and have its job done again."""
        self._processes.remove(process)
        job = process.job
        if not process.is_started:
            if job is not None:
                self._again.appendleft(job)  # it is not at fault
            self._failed_to_start(reason, error)
            return None
        if job is None:
            return None
        job.n_attempts += 1
        if job.n_attempts >= self._engine.n_attempts:
            return Lost(job.task, reason, job.n_attempts)
        job.due = time.monotonic() + pause_seconds(job.n_attempts)
        self._again.append(job)
        return None

    def _failed_to_start(self, reason: str, error: StemlightError | None = None) -> None:
        if error is not None:
            raise error
        self._n_failed_starts += 1
        self._start_at = time.monotonic() + pause_seconds(self._n_failed_starts)
        has_any = any(process.is_started for process in self._processes)
        if not has_any and self._n_failed_starts >= self._engine.n_attempts:
            raise OutputError(
                f"no worker could be started, at {self._n_failed_starts} attempts: {reason}"
            )
