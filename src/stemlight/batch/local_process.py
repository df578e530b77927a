"""A worker process of this machine: what is sent to it, what it sends, and how it ends."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic

from stemlight.batch.engines import MakeWorker, Task
from stemlight.errors import StemlightError
from stemlight.processes import threads_of_children

__all__ = ["Ended", "Job", "Process", "Started", "in_one_line"]

_END_SECONDS = 5.0  # that a process which has closed its pipe gets to end
_PARENT_GONE = 3


@dataclass(eq=False)
class Job(Generic[Task]):
    """A task that has not ended."""

    task: Task
    n_attempts: int = 0
    due: float = 0.0


@dataclass(frozen=True)
class Started:
    """A worker has loaded what it needs, or could not."""

    fault: str | None = None
    error: StemlightError | None = None


@dataclass(frozen=True)
class Ended:
    """A task has ended in a worker."""

    result: Any = None
    fault: str | None = None


class Process(Generic[Task]):
    """A worker process, and the job that it has."""

    def __init__(self, make_worker: MakeWorker[Any, Any], n_threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(make_worker, theirs), daemon=True)
        with threads_of_children(n_threads):
            self._process.start()
        theirs.close()  # or its end would not be seen
        self.is_started = False
        self.job: Job[Task] | None = None
        self.since = math.inf

    def give(self, job: Job[Task]) -> None:
        """Send a job; a process that is dead is noticed by its pipe."""
        self.job = job
        self.since = time.monotonic() if self.is_started else math.inf
        with contextlib.suppress(OSError):
            self.connection.send(job.task)

    def receive(self) -> Started | Ended | None:
        """Return what came; None if the process has ended."""
        try:
            message: Started | Ended = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def end(self) -> str:
        """Wait for the end of a process that has closed its pipe, and say what it was."""
        self._process.join(_END_SECONDS)
        code = self._process.exitcode
        self.kill()
        if code is None:
            return "its worker closed its pipe"
        if code >= 0:
            return f"its worker ended with exit code {code}"
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            hint = ", often for want of memory" if -code == signal.SIGKILL else ""
            return f"its worker was killed by {name}{hint}"
        return f"its worker was killed by signal {-code}"

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.connection.close()


def _work(make_worker: MakeWorker[Any, Any], connection: Connection) -> None:
    """Do what comes through the pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = make_worker()
    except Exception as error:
        refused = error if isinstance(error, StemlightError) else None
        connection.send(Started(in_one_line(error), refused))
        return
    connection.send(Started())
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            connection.send(Ended(work(task)))
        except Exception as error:
            connection.send(Ended(fault=in_one_line(error)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "it was started by one"
    parent.join()
    os._exit(_PARENT_GONE)


def in_one_line(error: Exception) -> str:
    """Say what an exception says; those raised on purpose need no name."""
    name = "" if isinstance(error, StemlightError) else f"{type(error).__name__}: "
    return " ".join(f"{name}{error}".split())
