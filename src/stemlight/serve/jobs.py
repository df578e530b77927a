"""What a job is, and which way it may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "ENDED",
    "TRANSITIONS",
    "Job",
    "JobState",
    "NewJob",
    "may_become",
]

JobState = Literal["queued", "running", "done", "failed", "cancelled", "expired"]

TRANSITIONS: Mapping[JobState, tuple[JobState, ...]] = {
    "queued": ("running", "cancelled"),
    # Back to the queue when its worker or its server went away; to itself when another took over.
    "running": ("done", "failed", "cancelled", "queued", "running"),
    "done": ("expired",),
    "failed": ("expired",),
    "cancelled": ("expired",),
    "expired": (),
}
"""Where each state may lead; deleting removes a job from any."""

ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled", "expired")


def may_become(new: JobState) -> tuple[JobState, ...]:
    """Return the states from which a job may become `new`."""
    return tuple(old for old, following in TRANSITIONS.items() if new in following)


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job as it is submitted."""

    id: str
    client: str
    name: str
    """What people call the song; never part of a path."""
    options: Mapping[str, Any]
    source_path: str | None = None
    """A song below an allowed folder; None is the uploaded one, in the job's folder."""
    size_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Job(NewJob):
    """A job as it is kept. Times are seconds since 1970."""

    state: JobState
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    progress: float = 0.0
    seconds_left: float | None = None
    message: str | None = None
    n_starts: int = 0
    n_crashes: int = 0
    worker: str | None = None
    lease: str | None = None
    """Random, new for each start: who holds it may report on the job."""
    result: Mapping[str, Any] = field(default_factory=dict)
    """What the worker found and wrote; empty unless done."""
    revision: int = 0
    """Counts changes."""
