"""The REST service: jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from stemlight._version import __version__
from stemlight.serve.choices import formats
from stemlight.serve.jobs import Job
from stemlight.serve.problems import RefusalError
from stemlight.serve.schemas import (
    ErrorOut,
    HealthOut,
    JobOut,
    KeyIn,
    LimitsOut,
    ModelOut,
    OptionsOut,
    PathJobIn,
)
from stemlight.serve.security import SESSION_COOKIE
from stemlight.serve.studio import Client, OwnJob, Studio, StudioHere
from stemlight.serve.submitting import accept_path, submit_upload
from stemlight.serve.views import API, job_view, positions

__all__ = [
    "ERRORS",
    "all_events",
    "cancel_job",
    "delete_job",
    "get_job",
    "health",
    "job_events",
    "list_jobs",
    "list_models",
    "list_options",
    "open_router",
    "open_session",
    "router",
    "submit",
    "submit_path",
]


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorOut} for status in statuses}


ERRORS = _errors(400, 401, 403, 404, 422, 429)
"""Answers that any route of a job may give, for the description."""

open_router = APIRouter(prefix=API, tags=["server"])
router = APIRouter(prefix=API, tags=["jobs"], responses=ERRORS)

_SONG_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "the song"},
        "options": {"type": "string", "description": "JobOptions as JSON"},
    },
}
_EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


@open_router.get("/health", responses={503: {"model": HealthOut}})
def health(studio: StudioHere, response: Response) -> HealthOut:
    """Tell whether the server and its workers live."""
    if not studio.supervisor.is_well:
        response.status_code = 503
        return HealthOut(status="no_workers", version=__version__)
    return HealthOut(status="ok", version=__version__)


@open_router.post("/session", status_code=204, responses=_errors(400, 401, 403, 413, 422))
def open_session(asked: KeyIn, studio: StudioHere) -> Response:
    """Exchange a key for a cookie, for what cannot send headers: players and events."""
    response = Response(status_code=204)
    if studio.keys.are_needed:
        if studio.keys.owner_of(asked.key) is None:
            raise RefusalError(401, "this key is not one of the server's; check it")
        response.set_cookie(
            SESSION_COOKIE,
            studio.keys.session_for(asked.key),
            max_age=30 * 86400,
            httponly=True,
            samesite="strict",
        )
    return response


@router.get("/models", tags=["server"])
def list_models(studio: StudioHere) -> list[ModelOut]:
    """List the models."""
    return list(studio.choices.models.values())


@router.get("/options", tags=["server"])
def list_options(studio: StudioHere) -> OptionsOut:
    """Tell what a job may ask, and the limits."""
    settings = studio.settings
    return OptionsOut(
        formats=formats(),
        limits=LimitsOut(
            upload_bytes=settings.max_upload_bytes,
            duration_seconds=settings.max_seconds,
            jobs_per_client=settings.jobs_per_client,
        ),
        expires_after_seconds=settings.expire_hours * 3600,
    )


@router.post(
    "/jobs",
    status_code=202,
    responses=_errors(408, 413, 415, 507),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": _SONG_FORM}},
        }
    },
)
async def submit(
    request: Request, response: Response, studio: StudioHere, client: Client
) -> JobOut:
    """Submit a song: as a form with the file."""
    job = await submit_upload(request, studio, client)
    response.headers["Location"] = f"{API}/jobs/{job.id}"
    return await run_in_threadpool(_view, studio, job)


@router.post("/jobs/path", status_code=202, responses=_errors(413, 507))
def submit_path(asked: PathJobIn, response: Response, studio: StudioHere, client: Client) -> JobOut:
    """Submit a song that lies on the server, below a folder that its owner allowed."""
    job = accept_path(asked, studio, client)
    response.headers["Location"] = f"{API}/jobs/{job.id}"
    return _view(studio, job)


@router.get("/jobs")
def list_jobs(studio: StudioHere, client: Client) -> list[JobOut]:
    """List your jobs, the newest first."""
    places = positions(studio.store.queue())
    return [job_view(job, places) for job in studio.store.list_of(client)]


@router.get("/jobs/events", response_class=StreamingResponse, responses=_EVENT_STREAM)
async def all_events(studio: StudioHere, client: Client) -> StreamingResponse:
    """Tell what becomes of all your jobs, as server-sent events."""
    jobs = await run_in_threadpool(studio.store.list_of, client)
    return await _stream(studio, client, None, jobs)


@router.get("/jobs/{job_id}")
def get_job(job: OwnJob, studio: StudioHere) -> JobOut:
    """Tell of one job."""
    return _view(studio, job)


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse, responses=_EVENT_STREAM)
async def job_events(job: OwnJob, studio: StudioHere, client: Client) -> StreamingResponse:
    """Tell what becomes of one job, until it has ended."""
    return await _stream(studio, client, job.id, [job])


@router.post("/jobs/{job_id}/cancel", responses=_errors(409))
def cancel_job(job: OwnJob, studio: StudioHere) -> JobOut:
    """Cancel a job that waits or runs; it keeps its row and has no result."""
    if not studio.store.cancel(job.id):
        raise RefusalError(
            409, f"the job is {job.state} and cannot be cancelled; DELETE removes it"
        )
    return _view(studio, studio.store.get(job.id) or job)


@router.delete("/jobs/{job_id}", status_code=204)
async def delete_job(job: OwnJob, studio: StudioHere) -> Response:
    """Remove a job with all its files; one that runs is cancelled."""
    await run_in_threadpool(studio.store.delete, job.id)
    await run_in_threadpool(studio.files.remove, job.id)
    studio.hub.tell_deleted(job.id, job.client)
    return Response(status_code=204)


def _view(studio: Studio, job: Job) -> JobOut:
    return job_view(job, positions(studio.store.queue() if job.state == "queued" else []))


async def _stream(
    studio: Studio, client: str, job_id: str | None, jobs: list[Job]
) -> StreamingResponse:
    studio.hub.refuse_one_more(client)
    queue = await run_in_threadpool(studio.store.queue)

    async def events() -> AsyncIterator[str]:
        with studio.hub.listening(client, job_id) as listener:
            studio.hub.tell(jobs[::-1], queue)
            yield ": stemlight\n\n"
            async for text in listener.stream():
                yield text

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)
