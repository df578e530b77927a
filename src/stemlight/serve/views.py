"""Jobs as their owners see them: no folders, no leases, no workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from stemlight.serve.jobs import Job
from stemlight.serve.products import ORIGINAL
from stemlight.serve.schemas import JobOptions, JobOut, OriginalOut, StemOut

__all__ = ["API", "job_view", "positions", "stem_format"]

API = "/api/v1"


def positions(queue: Sequence[str]) -> Mapping[str, int]:
    """Return the place of each job that waits; the next one has 1."""
    return {job_id: place for place, job_id in enumerate(queue, start=1)}


def stem_format(job: Job) -> str:
    """Return the format of the stems' own files."""
    return "flac" if job.options["format"] == "stem.mp4" else str(job.options["format"])


def job_view(job: Job, places: Mapping[str, int]) -> JobOut:
    """Return what `GET /jobs/{id}` answers."""
    base = f"{API}/jobs/{job.id}"
    result = job.result if job.state == "done" else {}
    format = stem_format(job)
    stems = [
        StemOut(
            name=name,
            url=f"{base}/stems/{name}.{format}",
            play_url=f"{base}/play/{name}",
            pieces_url=f"{base}/pieces/{name}",
            size_bytes=stem["size_bytes"],
            peaks_url=f"{base}/peaks/{name}",
            spectrogram_url=f"{base}/spectrogram/{name}",
        )
        for name, stem in result.get("stems", {}).items()
    ]
    original = OriginalOut(
        url=f"{base}/original",
        pieces_url=f"{base}/pieces/{ORIGINAL}",
        peaks_url=f"{base}/peaks/{ORIGINAL}",
        spectrogram_url=f"{base}/spectrogram/{ORIGINAL}",
    )
    return JobOut(
        id=job.id,
        name=job.name,
        state=job.state,
        position=places.get(job.id) if job.state == "queued" else None,
        progress=job.progress,
        seconds_left=job.seconds_left,
        message=job.message,
        created_at=_moment(job.created_at),
        started_at=_moment_or_none(job.started_at),
        finished_at=_moment_or_none(job.finished_at),
        expires_at=_moment_or_none(job.expires_at),
        options=JobOptions.model_validate(dict(job.options)),
        duration_seconds=result.get("duration_seconds"),
        sample_rate_hz=result.get("sample_rate_hz"),
        stems=stems,
        original=original if result else None,
        archive_url=f"{base}/stems.zip" if result else None,
        stem_mp4_url=f"{base}/stems.mp4" if result.get("has_stem_mp4") else None,
        mix_url=f"{base}/mix" if result else None,
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
