"""`--run-on`: work of a command on the engines of `stemlight batch`, in place of this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from stemlight.cli.health import usable_threads
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import InputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.batch import Engine

__all__ = ["AddressOption", "Place", "RunOnOption", "Spread", "WorkersOption"]

_PLACES = ("local", "ray")

Task = tuple[str, Any]
Spread = Callable[[Callable[[], Callable[[Task], Any]], Iterable[Task]], Iterator[tuple[Task, Any]]]
"""See `stemlight.comparison.Spread`: tasks come back with their results as they end."""

RunOnOption = Annotated[
    str | None,
    typer.Option(
        metavar="local|ray",
        help="Work in processes that may die, or on Ray, here or there. [this process]",
    ),
]
WorkersOption = Annotated[
    int, typer.Option(metavar="N", min=0, help="Of --run-on: tracks at once. [cores here]")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Of --run-on ray: a cluster's. [Ray is started on this machine]"
    ),
]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the work of a command is done, if not in its process."""

    run_on: str
    n_workers: int
    """0: as many as there are cores."""
    address: str | None = None

    @classmethod
    def asked(cls, run_on: str | None, workers: int, address: str | None) -> Place | None:
        """Return what the options ask for; None: nothing.

        Raises:
            UsageError: they do not go together.
        """
        if run_on is None:
            given = {"--workers": workers, "--address": address}
            for name, value in given.items():
                if value:
                    raise UsageError(f"{name} belongs to --run-on local|ray, which is not given")
            return None
        if run_on not in _PLACES:
            raise UsageError(
                f"--run-on must be local or ray, not {run_on!r}{did_you_mean(run_on, _PLACES)}"
            )
        if address is not None and run_on != "ray":
            raise UsageError("--address belongs to --run-on ray")
        if address is not None and not workers:
            raise UsageError(
                "the size of a cluster is not known here; add --workers N to --address"
            )
        return cls(run_on=run_on, n_workers=workers, address=address)

    def count(self, n_tasks: int, n_threads: int = 1) -> int:
        """Return how many workers there are to be."""
        return max(1, min(self.n_workers or usable_threads() // n_threads, n_tasks))

    @contextlib.contextmanager
    def opened(
        self, interrupts: Interrupts, n_tasks: int, *, n_threads: int = 1, has_gpu: bool = False
    ) -> Iterator[Spread]:
        """Give what spreads tasks over workers, whose model and threads are their own.

        Raises:
            UsageError: there is no Ray at the address.
            MissingExtraError: Ray is not installed.
        """
        n_workers = self.count(n_tasks, n_threads)
        n_gpus = 1.0 if has_gpu else 0.0
        with contextlib.ExitStack() as opened, interrupts.at_once():
            if self.run_on == "local":
                from stemlight.batch.local_engine import LocalEngine

                yield partial(_spread, LocalEngine(n_workers, n_threads=n_threads))
                return
            from stemlight.batch.ray_connection import connected
            from stemlight.batch.ray_engine import RayEngine

            engine = RayEngine(
                n_workers,
                address=self.address,
                cpus_per_worker=n_threads,
                gpus_per_worker=n_gpus,
            )

            def spread(
                make_worker: Callable[[], Callable[[Task], Any]], tasks: Iterable[Task]
            ) -> Iterator[tuple[Task, Any]]:
                # When it is first needed, and once for all that the command spreads.
                opened.enter_context(connected(self.address, n_workers * n_threads, n_gpus))
                return _spread(engine, make_worker, tasks)

            yield spread


def _spread(
    engine: Engine, make_worker: Callable[[], Callable[[Task], Any]], tasks: Iterable[Task]
) -> Iterator[tuple[Task, Any]]:
    from stemlight.batch.engines import Lost

    ends = engine.run(make_worker, tasks)
    with contextlib.closing(cast("Generator[Any]", ends)):
        for end in ends:
            if isinstance(end, Lost):
                name, _ = end.task
                yield (
                    end.task,
                    InputError(f"{name}: given up after {end.n_attempts} attempts: {end.reason}"),
                )
            else:
                yield end.task, end.result
