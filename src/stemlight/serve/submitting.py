"""Takes a new job in: the song first, then the row, which is what counts."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from stemlight.serve.jobs import Job, NewJob
from stemlight.serve.problems import RefusalError
from stemlight.serve.schemas import JobOptions, PathJobIn
from stemlight.serve.studio import Studio
from stemlight.serve.uploads import display_name, receive_upload

__all__ = ["accept_path", "submit_upload"]


async def submit_upload(request: Request, studio: Studio, client: str) -> Job:
    """Receive a song, and queue it.

    Raises:
        RefusalError: it is refused; nothing of it is left.
    """
    n_bytes = _announced_bytes(request)
    most_bytes = studio.settings.max_upload_bytes
    if n_bytes > most_bytes + 65_536:
        raise RefusalError(
            413,
            f"the upload has {n_bytes} bytes, but this server takes {most_bytes}; compress or cut "
            "the song",
        )
    reserved = n_bytes or most_bytes
    await run_in_threadpool(studio.refuse_beyond_limits, client, reserved)
    job_id = secrets.token_hex(16)
    incoming = studio.files.incoming(job_id)
    with studio.janitor.submitting(job_id), _slot(studio, reserved):
        try:
            upload = await receive_upload(
                request.stream(),
                request.headers.get("content-type", ""),
                incoming,
                most_bytes=most_bytes,
            )
            new = NewJob(
                id=job_id,
                client=client,
                name=upload.name,
                options=studio.choices.checked(_options(upload.options)),
                size_bytes=upload.n_bytes,
            )
            await run_in_threadpool(studio.files.accept, job_id)
            return await run_in_threadpool(_store, studio, new)
        except BaseException:  # the client may have gone away
            incoming.unlink(missing_ok=True)
            studio.files.remove(job_id)
            raise


def accept_path(asked: PathJobIn, studio: Studio, client: str) -> Job:
    """Queue a song that lies below an allowed folder; it stays where it is.

    Raises:
        RefusalError: it does not, or there is no such file.
    """
    path = _allowed(asked.path, studio.settings.allow_folders)
    options = studio.choices.checked(asked.options)
    studio.refuse_beyond_limits(client, 0)
    new = NewJob(
        id=secrets.token_hex(16),
        client=client,
        name=display_name(path.name),
        options=options,
        source_path=str(path),
    )
    return _store(studio, new)


def _store(studio: Studio, new: NewJob) -> Job:
    stored = studio.store.submit(
        new,
        most_queued=studio.settings.queue_length,
        most_of_client=studio.settings.jobs_per_client,
    )
    if not isinstance(stored, Job):
        raise studio.refusal(*stored)
    studio.metrics.submitted.inc()
    studio.metrics.upload_bytes.inc(new.size_bytes)
    return stored


@contextmanager
def _slot(studio: Studio, n_bytes: int) -> Iterator[None]:
    most = studio.settings.uploads_at_once
    if studio.n_uploads >= most:
        raise RefusalError(
            429,
            f"{most} uploads come in already; try again",
            code="too_many_uploads",
            retry_seconds=10,
        )
    studio.n_uploads += 1
    studio.reserved_bytes += n_bytes
    try:
        yield
    finally:
        studio.n_uploads -= 1
        studio.reserved_bytes -= n_bytes


def _announced_bytes(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() and len(length) < 20 else 0


def _options(text: str) -> JobOptions:
    try:
        return JobOptions.model_validate_json(text)
    except ValidationError as error:
        faults: list[Any] = list(error.errors())[:5]
        lines = [
            f"{'.'.join(map(str, fault['loc'])) or 'options'}: {fault['msg']}" for fault in faults
        ]
        raise RefusalError(422, "; ".join(lines) + "; see /api/v1/openapi.json") from error


def _allowed(given: str, folders: tuple[Path, ...]) -> Path:
    """Return the real path of a file below one of the folders, links followed before they count.

    What lies elsewhere and what does not exist are refused alike, so that nothing is told of it.
    """
    if not folders:
        raise RefusalError(
            403, "this server takes no paths; upload the song, or start it with --allow-folder"
        )
    refusal = RefusalError(
        403, "the path names no file below an allowed folder of this server; give one that does"
    )
    try:
        real = Path(os.path.realpath(given, strict=True))
    except (OSError, ValueError):
        raise refusal from None
    is_below = any(real.is_relative_to(os.path.realpath(folder)) for folder in folders)
    if not is_below or not real.is_file() or not Path(given).is_absolute():
        raise refusal
    return real
