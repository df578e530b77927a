"""Does the same to many tracks: in this process, or in several that keep their systems open."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from stemlight.comparison.systems import System
from stemlight.errors import OutputError, StemlightError
from stemlight.processes import threads_of_children

__all__ = ["OpenSystem", "OpenSystems", "Spread", "Watcher", "Workers"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

OpenSystem = Callable[[str], System]
_Named = tuple[str, Any]
Spread = Callable[
    [Callable[[], Callable[[_Named], Any]], Iterable[_Named]], Iterator[tuple[_Named, Any]]
]
"""Given what makes a worker, which does one task, and tasks with their names: yields each task with
its result as it ends, or with a `StemlightError` if its worker dies of it."""

_POLL_SECONDS = 0.2


class Watcher(Protocol):
    """Who is told of each item that is done, and may end the work by raising."""

    def check(self) -> None:
        """Raise if the work is to end; called often."""

    def finished(self, name: str, n_done: int, n_all: int) -> None:
        """Called after each item."""


class OpenSystems:
    """Systems by name, each opened when it is first asked for."""

    def __init__(self, open_system: OpenSystem, opened: Iterable[System] = ()) -> None:
        self._open_system = open_system
        self._opened = {system.name: system for system in opened}

    def __getitem__(self, name: str) -> System:
        if name not in self._opened:
            self._opened[name] = self._open_system(name)
        return self._opened[name]


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How many processes work, with how many threads each, and who watches them.

    With several processes all that they are given travels, so `open_system` must be importable;
    `opened` are systems that serve where there is only this one.
    """

    open_system: OpenSystem
    opened: tuple[System, ...] = ()
    n_processes: int = 1
    n_threads: int = 1
    spread: Spread | None = None
    """Does the work in the place of all processes of its own."""
    watcher: Watcher

    def do_all(
        self, function: Callable[[OpenSystems, _Item], _Result], items: Mapping[str, _Item]
    ) -> list[_Result]:
        """Return what `function` gives for each item, in their order.

        Raises:
            OutputError: A process was killed.
            StemlightError: A worker raised it.
        """
        results: dict[str, _Result] = {}
        n_processes = min(self.n_processes, len(items))
        try:
            for name, result in (
                self._away(self.spread, function, items)
                if self.spread is not None
                else self._here(function, items)
                if n_processes <= 1
                else self._in_processes(function, items, n_processes)
            ):
                results[name] = result
                self.watcher.finished(name, len(results), len(items))
        except BrokenProcessPool as error:
            raise OutputError(
                "a process was killed, often for want of memory; run it again with --jobs "
                f"{max(1, n_processes // 2)}"
            ) from error
        return [results[name] for name in items]

    def _here(
        self, function: Callable[[OpenSystems, _Item], _Result], items: Mapping[str, _Item]
    ) -> Iterator[tuple[str, _Result]]:
        systems = OpenSystems(self.open_system, self.opened)
        for name, item in items.items():
            self.watcher.check()
            yield name, function(systems, item)

    def _away(
        self,
        spread: Spread,
        function: Callable[[OpenSystems, _Item], _Result],
        items: Mapping[str, _Item],
    ) -> Iterator[tuple[str, _Result]]:
        make_worker = partial(_make_worker, function, self.open_system)
        with contextlib.closing(spread(make_worker, items.items())) as ends:  # type: ignore[type-var]
            for (name, _), result in ends:
                if isinstance(result, StemlightError):
                    raise result
                yield name, result

    def _in_processes(
        self,
        function: Callable[[OpenSystems, _Item], _Result],
        items: Mapping[str, _Item],
        n_processes: int,
    ) -> Iterator[tuple[str, _Result]]:
        context = multiprocessing.get_context("spawn")
        with (
            ProcessPoolExecutor(
                n_processes, context, initializer=_start_worker, initargs=(self.open_system,)
            ) as pool,
            threads_of_children(self.n_threads),
        ):
            # No more than are being worked on, so that whoever stops waits for nothing else.
            rest = iter(items.items())
            waiting: dict[Future[_Result], str] = {}
            while True:
                for name, item in itertools.islice(rest, n_processes - len(waiting)):
                    waiting[pool.submit(_do, function, item)] = name
                if not waiting:
                    return
                done, _ = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
                self.watcher.check()
                for future in done:
                    yield waiting.pop(future), future.result()


_systems: OpenSystems | None = None  # of a worker process


def _start_worker(open_system: OpenSystem) -> None:
    """Leave Ctrl-C to the parent, which lets tracks that are being worked on end."""
    global _systems
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _systems = OpenSystems(open_system)


def _do(function: Callable[[OpenSystems, _Item], _Result], item: _Item) -> _Result:
    assert _systems is not None, "the pool starts its workers first"
    return function(_systems, item)


def _make_worker(
    function: Callable[[OpenSystems, _Item], _Result], open_system: OpenSystem
) -> Callable[[_Named], _Result | StemlightError]:
    """Return what does one item; an error of ours is its result, for it is no death."""
    systems = OpenSystems(open_system)

    def do(task: _Named) -> _Result | StemlightError:
        try:
            return function(systems, task[1])
        except StemlightError as error:
            return error

    return do
