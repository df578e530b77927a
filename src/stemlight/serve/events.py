"""Server-sent events: what becomes of jobs, told to everybody who listens to them."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from starlette.concurrency import run_in_threadpool

from stemlight.serve.jobs import ENDED, Job, JobState
from stemlight.serve.problems import RefusalError
from stemlight.serve.store import Store
from stemlight.serve.views import job_view, positions

__all__ = ["EventHub", "Listener", "event_text"]

_QUEUED: tuple[JobState, ...] = ("queued",)
_POLL_SECONDS = 0.4
_OVERLAP_SECONDS = 5.0  # changes of other processes may become visible later than their time
_QUIET_SECONDS = 15.0
_MOST_LISTENERS, _MOST_OF_CLIENT = 400, 20


def event_text(kind: str, data: str) -> str:
    """Return one event as it is sent."""
    return f"event: {kind}\ndata: {data}\n\n"


class Listener:
    """One connection: what it was not told yet, of each job the newest alone."""

    def __init__(self, client: str, job_id: str | None) -> None:
        self.client = client
        self.job_id = job_id
        self._waiting: dict[str, str] = {}
        self._last: dict[str, str] = {}
        self._ended: set[str] = set()
        self._arrived = asyncio.Event()

    def tell(self, job_id: str, text: str, *, ended: bool) -> None:
        """Put an event into the queue, unless it was the last one of that job."""
        if self._last.get(job_id) == text:
            return
        self._last[job_id] = text
        self._waiting[job_id] = text
        if ended:
            self._ended.add(job_id)
        self._arrived.set()

    async def stream(self) -> AsyncIterator[str]:
        """Yield events; those of one job end with it."""
        while True:
            try:
                await asyncio.wait_for(self._arrived.wait(), _QUIET_SECONDS)
            except TimeoutError:
                yield ": still here\n\n"
                continue
            self._arrived.clear()
            waiting, self._waiting = self._waiting, {}
            for text in waiting.values():
                yield text
            if self.job_id is not None and self.job_id in self._ended:
                return


class EventHub:
    """Asks the store what changed, once for all listeners, and only while there are some."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def n_listeners(self) -> int:
        """How many connections listen."""
        return len(self._listeners)

    def start(self) -> None:
        """Begin to ask; there must be a running event loop."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def refuse_one_more(self, client: str) -> None:
        """Refuse a listener where there are many.

        Raises:
            RefusalError: there are.
        """
        n_of_client = sum(listener.client == client for listener in self._listeners)
        if self.n_listeners >= _MOST_LISTENERS or n_of_client >= _MOST_OF_CLIENT:
            raise RefusalError(
                429,
                f"{n_of_client} connections listen to your events and {self.n_listeners} in all, "
                f"but {_MOST_OF_CLIENT} and {_MOST_LISTENERS} are allowed; close some",
                retry_seconds=10,
            )

    @contextmanager
    def listening(self, client: str, job_id: str | None) -> Iterator[Listener]:
        """Add a listener to a job, or to all of a client."""
        listener = Listener(client, job_id)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def tell_deleted(self, job_id: str, client: str) -> None:
        """Tell the owner's listeners that a job is no more."""
        text = event_text("deleted", json.dumps({"id": job_id}))
        for listener in list(self._listeners):
            if listener.client == client and listener.job_id in (None, job_id):
                listener.tell(job_id, text, ended=True)

    def tell(self, jobs: list[Job], queue: list[str]) -> None:
        """Tell listeners of their jobs."""
        places = positions(queue)
        for job in jobs:
            hearing = [
                listener
                for listener in self._listeners
                if listener.client == job.client and listener.job_id in (None, job.id)
            ]
            if hearing:
                text = event_text("job", job_view(job, places).model_dump_json())
                for listener in hearing:
                    listener.tell(job.id, text, ended=job.state in ENDED)

    async def _run(self) -> None:
        told_at = time.time()
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            if not self._listeners:
                told_at = time.time()
                continue
            now = time.time()
            try:
                jobs, queue = await run_in_threadpool(self._look, told_at - _OVERLAP_SECONDS)
            except Exception as error:  # the database is away; the next time may be better
                print(f"events: {error}", file=sys.stderr, flush=True)
                continue
            told_at = now
            self.tell(jobs, queue)

    def _look(self, since: float) -> tuple[list[Job], list[str]]:
        """Return what changed, and the jobs that wait, whose places change without them."""
        queue = self._store.queue()
        changed = {job.id: job for job in self._store.changed_since(since)}
        clients = {listener.client for listener in list(self._listeners)}
        for client in clients:
            for job in self._store.list_of(client, states=_QUEUED):
                changed.setdefault(job.id, job)
        return list(changed.values()), queue
