"""What the driver of `stemlight batch --engine ray` does for a task, however many workers it has.

Nobody has a thousand workers at hand, but the driver cannot tell: here all of them are one actor of
Ray, which each believes to be its own. So there are as many tasks on their way, as many references
to wait for, and as many workers to look after as in a cluster, and only one process that works.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from stemlight.batch import ray_engine
from stemlight.batch.ray_connection import connected
from stemlight.batch.ray_engine import RayEngine

__all__ = ["driver_seconds"]

_TASK_SECONDS = 0.02  # longer than the driver needs, so that it waits as it does for real work
_N_TASKS = 150


def driver_seconds(n_workers: int) -> float:
    """Return the processor time of the driver's process, all its threads, for one task."""
    ends = RayEngine(n_workers).run(_sleeper, range(n_workers + 3 * _N_TASKS))
    with mock.patch.object(ray_engine, "connected", _connected_to_one), contextlib.closing(ends):  # type: ignore[type-var]
        for _ in range(_N_TASKS):
            next(ends)
        started = time.process_time()
        for _ in range(_N_TASKS):
            next(ends)
        return (time.process_time() - started) / _N_TASKS


def _sleeper() -> Callable[[int], None]:
    return _sleep


def _sleep(_: int) -> None:
    time.sleep(_TASK_SECONDS)


@contextlib.contextmanager
def _connected_to_one(*_: Any) -> Iterator[Any]:
    with connected(None, 1) as ray:
        yield _OneActor(ray)


class _OneActor:
    """Ray, but that all actors are one."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ray, name)

    def remote(self, actor_class: type) -> Any:
        return _ActorClass(self._ray.remote(actor_class))

    def kill(self, actor: Any) -> None:
        """Spare it: the others have it, too."""


class _ActorClass:
    def __init__(self, actor_class: Any) -> None:
        self._class = actor_class
        self._actor: Any = None

    def options(self, **options: Any) -> _ActorClass:
        self._class = self._class.options(**options)
        return self

    def remote(self, *arguments: Any) -> Any:
        self._actor = self._actor or self._class.remote(*arguments)
        return self._actor
