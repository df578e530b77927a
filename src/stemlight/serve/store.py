"""Jobs in a database. Every change is one transaction, and names the states it may start from.

Who may report on a running job is told by its lease, a random word that each start renews: a worker
that was thought dead and is not finds its lease gone, and its report changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, func, select, text, update

from stemlight.serve import changes
from stemlight.serve.jobs import Job, JobState, NewJob
from stemlight.serve.tables import LOCK_NUMBER, jobs_table

__all__ = ["Store", "Totals"]

_COLUMNS = [
    jobs_table.c[name]
    for name in Job.__dataclass_fields__  # the table has some more, for its own use
]
_ACTIVE: tuple[JobState, ...] = ("queued", "running")

Totals = Mapping[str, int]
"""How many jobs there are, by state."""


class Store:
    """All jobs; safe to use from several threads and processes at once."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._reader = engine.execution_options(reads=True)
        self._clock = clock

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    # Submitting

    def submit(
        self, job: NewJob, *, most_queued: int, most_of_client: int
    ) -> Job | tuple[str, int]:
        """Add a job unless there are too many: then return which limit it met, and the count."""
        now = self._clock()
        with self._writing() as connection:
            if self._engine.dialect.name == "postgresql":  # counting and adding are one step
                connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_NUMBER})"))
            n_queued, n_of_client = self._loads(connection, job.client)
            if n_queued >= most_queued:
                return "queue_full", n_queued
            if n_of_client >= most_of_client:
                return "too_many_jobs", n_of_client
            connection.execute(changes.submitted(job, now))
            row = connection.execute(select(*_COLUMNS).where(jobs_table.c.id == job.id)).one()
        return _job(row)

    def loads(self, client: str) -> tuple[int, int]:
        """Return how many jobs wait, and how many of the client's wait or run."""
        with self._reading() as connection:
            return self._loads(connection, client)

    # Looking

    def get(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        with self._reading() as connection:
            row = connection.execute(select(*_COLUMNS).where(jobs_table.c.id == job_id)).first()
        return None if row is None else _job(row)

    def list_of(
        self, client: str, *, states: Collection[JobState] | None = None, most: int = 1000
    ) -> list[Job]:
        """Return the client's jobs, the newest first."""
        query = select(*_COLUMNS).where(jobs_table.c.client == client)
        if states is not None:
            query = query.where(jobs_table.c.state.in_(states))
        order = (jobs_table.c.created_at.desc(), jobs_table.c.id)
        with self._reading() as connection:
            return [_job(row) for row in connection.execute(query.order_by(*order).limit(most))]

    def changed_since(self, moment: float) -> list[Job]:
        """Return all jobs that changed since a moment, whoever's they are."""
        query = select(*_COLUMNS).where(jobs_table.c.changed_at >= moment)
        with self._reading() as connection:
            return [_job(row) for row in connection.execute(query)]

    def queue(self) -> list[str]:
        """Return the ids of the jobs that wait, the next one first."""
        table = jobs_table.c
        query = select(table.id).where(table.state == "queued")
        with self._reading() as connection:
            return list(connection.execute(query.order_by(table.created_at, table.id)).scalars())

    def ids(self) -> set[str]:
        """Return the ids of all jobs that have files: expired ones have none."""
        query = select(jobs_table.c.id).where(jobs_table.c.state != "expired")
        with self._reading() as connection:
            return set(connection.execute(query).scalars())

    def totals(self) -> Totals:
        """Count the jobs by state."""
        query = select(jobs_table.c.state, func.count()).group_by(jobs_table.c.state)
        with self._reading() as connection:
            return {str(state): int(number) for state, number in connection.execute(query)}

    def used_bytes(self) -> int:
        """Return the size of all jobs' files."""
        query = select(func.coalesce(func.sum(jobs_table.c.size_bytes), 0))
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    # Working

    def claim(self, worker: str, *, lease_seconds: float) -> Job | None:
        """Take the oldest job that waits, or whose worker is gone, in one step."""
        now = self._clock()
        taken = changes.claimed(
            worker, now, lease_seconds, locks_rows=self._engine.dialect.name == "postgresql"
        ).returning(*_COLUMNS)
        with self._writing() as connection:
            for ended in changes.ended_if_lost(now):
                connection.execute(ended)
            row = connection.execute(taken).first()
        return None if row is None else _job(row)

    def heartbeat(
        self,
        lease: str,
        *,
        lease_seconds: float,
        progress: float,
        seconds_left: float | None,
    ) -> bool:
        """Report that a job goes on; False says that it shall not."""
        renewed = changes.renewed(
            lease, self._clock(), lease_seconds, progress=progress, seconds_left=seconds_left
        ).returning(jobs_table.c.cancel_asked)
        with self._writing() as connection:
            row = connection.execute(renewed).first()
        return row is not None and not row[0]

    def finish(
        self, lease: str, result: Mapping[str, Any], *, size_bytes: int, expires_seconds: float
    ) -> bool:
        """Make a job's result visible: the one step before which there is none."""
        now = self._clock()
        table = jobs_table.c
        done = (
            changes.ended("done", now)
            .where(table.lease == lease, table.cancel_asked == 0)
            .values(
                result=dict(result),
                size_bytes=size_bytes,
                progress=1.0,
                expires_at=now + expires_seconds,
            )
        )
        with self._writing() as connection:
            return bool(connection.execute(done).rowcount)

    def fail(self, lease: str, message: str, *, expires_seconds: float) -> bool:
        """End a job with the reason why there is no result."""
        now = self._clock()
        failed = (
            changes.ended("failed", now, message=message)
            .where(jobs_table.c.lease == lease)
            .values(expires_at=now + expires_seconds)
        )
        with self._writing() as connection:
            return bool(connection.execute(failed).rowcount)

    def confirm_cancel(self, lease: str, *, expires_seconds: float) -> bool:
        """End a running job that was asked to end."""
        now = self._clock()
        table = jobs_table.c
        ended = (
            changes.ended("cancelled", now)
            .where(table.lease == lease, table.cancel_asked == 1)
            .values(expires_at=now + expires_seconds)
        )
        with self._writing() as connection:
            return bool(connection.execute(ended).rowcount)

    def give_back(self, worker: str, *, crashed: bool, most_crashes: int) -> int:
        """Queue the jobs of a worker that ended; one that brought down too many fails."""
        now = self._clock()
        table = jobs_table.c
        its = (table.worker == worker) & (table.state == "running")
        n_crashes = table.n_crashes + (1 if crashed else 0)
        with self._writing() as connection:
            connection.execute(changes.ended("cancelled", now).where(its, table.cancel_asked == 1))
            if crashed:
                reason = f"its worker crashed {most_crashes} times; the song may be damaged"
                connection.execute(
                    changes.ended("failed", now, message=reason)
                    .where(its, n_crashes >= most_crashes)
                    .values(n_crashes=n_crashes)
                )
            queued = changes.queued_again(now, n_crashes=n_crashes).where(its)
            return int(connection.execute(queued).rowcount)

    # Ending

    def cancel(self, job_id: str) -> bool:
        """End a job that waits, or ask the worker of one that runs; False if it had ended."""
        now = self._clock()
        table = jobs_table.c
        with self._writing() as connection:
            ended = changes.ended("cancelled", now).where(
                table.id == job_id, table.state == "queued"
            )
            if connection.execute(ended).rowcount:
                return True
            asked = changes.changed(now, cancel_asked=1).where(
                table.id == job_id, table.state == "running"
            )
            return bool(connection.execute(asked).rowcount)

    def delete(self, job_id: str) -> bool:
        """Forget a job; a worker that has it finds its lease gone."""
        with self._writing() as connection:
            gone = delete(jobs_table).where(jobs_table.c.id == job_id)
            return bool(connection.execute(gone).rowcount)

    def expire(self, *, ended_seconds: float, kept_seconds: float) -> list[str]:
        """Expire jobs that ended so long ago; return their ids. Forget those expired for longer."""
        now = self._clock()
        table = jobs_table.c
        expired = changes.expired(now, ended_seconds).returning(table.id)
        with self._writing() as connection:
            ids = list(connection.execute(expired).scalars())
            old = (table.state == "expired") & (table.changed_at < now - kept_seconds)
            connection.execute(delete(jobs_table).where(old))
        return ids

    def add_bytes(self, job_id: str, n_bytes: int) -> None:
        """Count files that were made of a result later."""
        table = jobs_table.c
        grown = update(jobs_table).where(table.id == job_id, table.state == "done")
        with self._writing() as connection:
            connection.execute(grown.values(size_bytes=table.size_bytes + n_bytes))

    def _loads(self, connection: Connection, client: str) -> tuple[int, int]:
        table = jobs_table.c
        active = table.state.in_(_ACTIVE)
        counted = select(
            func.count().filter(table.state == "queued"),
            func.count().filter(table.client == client),
        ).where(active)
        n_queued, n_of_client = connection.execute(counted).one()
        return int(n_queued), int(n_of_client)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._reader.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            yield connection


def _job(row: Row[Any] | Sequence[Any]) -> Job:
    return Job(**dict(zip(Job.__dataclass_fields__, row, strict=True)))
