"""Everything that the routes of one server share."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request

from stemlight.serve.choices import Choices
from stemlight.serve.events import EventHub
from stemlight.serve.files import JOB_ID, JobFiles
from stemlight.serve.janitor import Janitor
from stemlight.serve.jobs import Job
from stemlight.serve.making import Makers
from stemlight.serve.metrics import Metrics
from stemlight.serve.problems import RefusalError
from stemlight.serve.security import Keys
from stemlight.serve.settings import ServeSettings
from stemlight.serve.store import Store
from stemlight.serve.supervision import Supervisor

__all__ = ["Client", "OwnJob", "Studio", "StudioHere", "client_of", "own_job", "studio_of"]


@dataclass(kw_only=True)
class Studio:
    """The parts of a server."""

    settings: ServeSettings
    store: Store
    files: JobFiles
    choices: Choices
    keys: Keys
    hub: EventHub
    janitor: Janitor
    supervisor: Supervisor
    metrics: Metrics
    makers: Makers = field(default_factory=lambda: Makers(at_once=2, most_waiting=16))
    """For files of a whole song's length."""
    readers: Makers = field(default_factory=lambda: Makers(at_once=4, most_waiting=200))
    """For pieces of some seconds, of which each player asks for a dozen at a time."""
    reserved_bytes: int = 0
    """Of uploads that come just now."""
    n_uploads: int = 0

    def result_file(self, job: Job, *parts: str) -> Path:
        """Return a file of a job's result; the parts come from the result, never from a user."""
        return self.files.attempt(job.id, job.result["folder"]).joinpath(*parts)

    def refuse_beyond_limits(self, client: str, n_bytes: int) -> None:
        """Refuse a job before anything of it is stored.

        Raises:
            RefusalError: there are too many jobs or uploads, or no room.
        """
        settings = self.settings
        n_queued, n_of_client = self.store.loads(client)
        if n_queued >= settings.queue_length:
            raise self.refusal("queue_full", n_queued)
        if n_of_client >= settings.jobs_per_client:
            raise self.refusal("too_many_jobs", n_of_client)
        used = self.store.used_bytes() + self.reserved_bytes
        left = min(settings.quota_bytes - used, self.files.free_bytes() - self.reserved_bytes)
        if n_bytes > left:
            raise RefusalError(
                507,
                f"the song has {n_bytes} bytes, but the server has room for {max(0, left)}; "
                "delete jobs, or try later",
                retry_seconds=600,
            )

    def refusal(self, code: str, number: int) -> RefusalError:
        """Return why a job is one too many."""
        if code == "queue_full":
            return RefusalError(
                429,
                f"{number} jobs wait, and no more than {self.settings.queue_length} may; try again",
                code=code,
                retry_seconds=30,
            )
        return RefusalError(
            429,
            f"you have {number} jobs that wait or run, and {self.settings.jobs_per_client} are "
            "allowed; wait for one to end, or cancel one",
            code=code,
            retry_seconds=30,
        )


def studio_of(request: Request) -> Studio:
    """Return the server's parts."""
    studio: Studio = request.app.state.studio
    return studio


def client_of(request: Request) -> str:
    """Return who asks; the gate let nobody through who is unknown."""
    return str(request.state.client)


StudioHere = Annotated[Studio, Depends(studio_of)]
Client = Annotated[str, Depends(client_of)]


def own_job(job_id: str, studio: StudioHere, client: Client) -> Job:
    """Return a job of whoever asks; those of others are not there.

    Raises:
        RefusalError: there is none.
    """
    job = studio.store.get(job_id) if JOB_ID.fullmatch(job_id) else None
    if job is None or job.client != client:
        raise RefusalError(404, f"you have no job {job_id[:40]!r}; GET /api/v1/jobs lists yours")
    return job


OwnJob = Annotated[Job, Depends(own_job)]
