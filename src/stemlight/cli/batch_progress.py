"""How far a batch is: a bar that goes away on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING, Self

from stemlight.cli.console import complain, note

if TYPE_CHECKING:
    from rich.progress import Progress

    from stemlight.batch import Outcome

__all__ = ["BatchProgress"]

_LINE_SECONDS = 10.0
_HOUR_SECONDS = 3600.0


class BatchProgress:
    """Shows counts, hours of audio, speed and time left; names each failure."""

    def __init__(self, n_tracks: int, *, quiet: bool) -> None:
        self._n_tracks = n_tracks
        self._quiet = quiet
        self._counts: Counter[str] = Counter()
        self._audio_seconds = 0.0
        self._stack = contextlib.ExitStack()
        self._bar: Progress | None = None
        self._told_at = 0.0

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            self._bar = Progress(
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}", markup=False),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
            )
            self._stack.enter_context(self._bar)
            self._task = self._bar.add_task("", total=self._n_tracks)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def tell(self, outcome: Outcome) -> None:
        """Take a track that has ended."""
        self._counts[outcome.status] += 1
        if outcome.status == "done":
            self._audio_seconds += outcome.duration_seconds
        if outcome.status == "failed":
            known = outcome.path in outcome.reason
            complain(outcome.reason if known else f"{outcome.path}: {outcome.reason}")
        n_ended, now = self._counts.total(), time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=n_ended, description=self._line(now))
        elif not self._quiet and (now - self._told_at > _LINE_SECONDS or n_ended == self._n_tracks):
            self._told_at = now
            note(f"[{n_ended}/{self._n_tracks}] {self._line(now)}")

    def _line(self, now: float) -> str:
        counts = ", ".join(
            f"{self._counts[name]} {name}"
            for name in ("done", "skipped", "failed")
            if name == "done" or self._counts[name]
        )
        elapsed = max(now - self._started, 1e-9)
        line = f"{counts}; {self._audio_seconds / _HOUR_SECONDS:.2f} h of audio"
        n_left = self._n_tracks - self._counts.total()
        n_worked = self._counts.total() - self._counts["skipped"]
        if n_worked:
            line += f", {self._audio_seconds / elapsed:.1f} x real time"
            if n_left > 0:  # skipping takes next to nothing, and says nothing of the others
                line += f"; {_duration(n_left * elapsed / n_worked)} left"
        return line


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 100 else f"{seconds / _HOUR_SECONDS:.1f} h"
