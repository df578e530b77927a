"""What runs many pieces of work on many workers: one interface for a machine and for a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

__all__ = ["Engine", "Lost", "MakeWorker", "Result", "Returned", "Task", "pause_seconds"]

_FIRST_PAUSE_SECONDS = 0.5
_PAUSE_GROWTH = 4.0
_LONGEST_PAUSE_SECONDS = 30.0

Task = TypeVar("Task")
Result = TypeVar("Result")

MakeWorker = Callable[[], Callable[[Task], Result]]
"""Called once in each worker: loads what all of its tasks share, and returns what does one task.

It travels to other processes and machines, so it must be picklable: a frozen dataclass with
`__call__`, or a `functools.partial` of a function of a module.
"""


@dataclass(frozen=True)
class Returned(Generic[Task, Result]):
    """A task that was done; what the worker returned says whether it succeeded."""

    task: Task
    result: Result
    n_attempts: int


@dataclass(frozen=True)
class Lost(Generic[Task]):
    """A task that was given up: at every attempt its worker died, hung or raised an exception."""

    task: Task
    reason: str
    """Of the last attempt, in one line."""
    n_attempts: int


class Engine(Protocol):
    """Runs tasks on workers, as many at once as there are workers."""

    def run(
        self, make_worker: MakeWorker[Task, Result], tasks: Iterable[Task]
    ) -> Iterator[Returned[Task, Result] | Lost[Task]]:
        """Yield every task once, in the order in which tasks end.

        Tasks are drawn as workers become free, so neither tasks nor results pile up. A task whose
        worker died, hung or raised is tried again, on another worker if there is one, until it has
        had its attempts; the other tasks do not suffer. Closing the iterator stops the workers.
        """
        ...


def pause_seconds(n_failures: int) -> float:
    """Return how long to wait before what failed so often is tried again."""
    pause = _FIRST_PAUSE_SECONDS * _PAUSE_GROWTH ** min(n_failures - 1, 9)  # or it overflows
    return min(_LONGEST_PAUSE_SECONDS, pause)
