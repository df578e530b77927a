"""A run: all tracks through an engine, and what became of each into the report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable
from typing import Any, cast

from stemlight.batch.engines import Engine, Lost, MakeWorker
from stemlight.batch.manifest import Item
from stemlight.batch.report import Report, Summary
from stemlight.batch.work import Outcome

__all__ = ["run_batch"]


def run_batch(
    items: Iterable[Item],
    engine: Engine,
    make_worker: MakeWorker[Item, Outcome],
    report: Report,
    *,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> Summary:
    """Do all items, and add each to the report, which is open, as it ends.

    A track whose workers died or raised at every attempt failed for the last of these reasons.

    Raises:
        StemlightError: no worker could be started, or the items cannot be read to their end.
    """
    ends = engine.run(make_worker, items)
    # Whoever is interrupted here leaves no worker behind.
    with contextlib.closing(cast("Generator[Any]", ends)):
        for end in ends:
            outcome = _given_up(end) if isinstance(end, Lost) else end.result
            report.add(outcome, end.n_attempts)
            if on_outcome is not None:
                on_outcome(outcome)
    report.finish()
    return report.summary()


def _given_up(lost: Lost[Item]) -> Outcome:
    return Outcome(id=lost.task.id, path=lost.task.path, status="failed", reason=lost.reason)
