"""How a job's row changes: statements that name the states they may start from, and run nothing."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import ColumnElement, Insert, Update, insert, select, update

from stemlight.serve.jobs import ENDED, JobState, NewJob, may_become
from stemlight.serve.tables import jobs_table

__all__ = [
    "changed",
    "claimed",
    "ended",
    "ended_if_lost",
    "expired",
    "queued_again",
    "renewed",
    "submitted",
]

_MOST_STARTS = 20  # of a job whose server, not worker, went away each time
_table = jobs_table.c


def submitted(job: NewJob, now: float) -> Insert:
    """Add a job."""
    return insert(jobs_table).values(
        id=job.id,
        client=job.client,
        name=job.name,
        options=dict(job.options),
        source_path=job.source_path,
        size_bytes=job.size_bytes,
        state="queued",
        created_at=now,
        changed_at=now,
        progress=0.0,
        n_starts=0,
        n_crashes=0,
        cancel_asked=0,
        result={},
        revision=0,
    )


def claimed(worker: str, now: float, lease_seconds: float, *, locks_rows: bool) -> Update:
    """Give a worker the oldest job that waits, or whose worker is gone."""
    is_free = (_table.state == "queued") | _is_lost(now)
    oldest = select(_table.id).where(is_free).order_by(_table.created_at, _table.id).limit(1)
    if locks_rows:
        oldest = oldest.with_for_update(skip_locked=True)
    return changed(
        now,
        state="running",
        worker=worker,
        lease=secrets.token_hex(16),
        lease_until=now + lease_seconds,
        started_at=now,
        n_starts=_table.n_starts + 1,
        progress=0.0,
        seconds_left=None,
    ).where(_table.id == oldest.scalar_subquery(), is_free)


def ended_if_lost(now: float) -> tuple[Update, Update]:
    """End the jobs whose worker is gone and that nobody shall take again."""
    reason = f"the server went away {_MOST_STARTS} times during this job"
    return (
        ended("failed", now, message=reason).where(_is_lost(now), _table.n_starts >= _MOST_STARTS),
        ended("cancelled", now).where(_is_lost(now), _table.cancel_asked == 1),
    )


def renewed(
    lease: str, now: float, lease_seconds: float, *, progress: float, seconds_left: float | None
) -> Update:
    """Let a running job go on."""
    return changed(
        now, lease_until=now + lease_seconds, progress=progress, seconds_left=seconds_left
    ).where(_table.lease == lease, _table.state == "running")


def queued_again(now: float, *, n_crashes: ColumnElement[int]) -> Update:
    """Put jobs back into the queue, as if they had never been started."""
    return changed(
        now,
        state="queued",
        worker=None,
        lease=None,
        lease_until=None,
        started_at=None,
        progress=0.0,
        seconds_left=None,
        n_crashes=n_crashes,
    )


def ended(state: JobState, now: float, *, message: str | None = None) -> Update:
    """Change to one of the last states, from those that may become it."""
    assert state in ENDED
    return changed(
        now,
        state=state,
        message=message,
        lease=None,
        lease_until=None,
        seconds_left=None,
        finished_at=now,
    ).where(_table.state.in_(may_become(state)))


def expired(now: float, ended_seconds: float) -> Update:
    """Expire the jobs that are due, by their own time or that of all."""
    is_due = (_table.expires_at < now) | (
        _table.expires_at.is_(None) & (_table.finished_at < now - ended_seconds)
    )
    return changed(now, state="expired", size_bytes=0, result={}).where(
        _table.state.in_(may_become("expired")), is_due
    )


def changed(now: float, **values: Any) -> Update:
    """Change columns, and let those who follow the job see it."""
    return update(jobs_table).values(changed_at=now, revision=_table.revision + 1, **values)


def _is_lost(now: float) -> ColumnElement[bool]:
    return (_table.state == "running") & (_table.lease_until < now)
