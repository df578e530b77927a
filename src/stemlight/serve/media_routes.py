"""The REST service: what a finished job gives: stems, players' versions, pictures, mixes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from stemlight.serve.archive import zip_pieces
from stemlight.serve.jobs import Job
from stemlight.serve.making import part_path
from stemlight.serve.mix import StemMix, write_mix
from stemlight.serve.peaks import peak_numbers, read_peaks
from stemlight.serve.problems import RefusalError
from stemlight.serve.products import ORIGINAL, playable_format, read_piece, write_playable
from stemlight.serve.routes import ERRORS
from stemlight.serve.schemas import ErrorOut, MixIn, PeaksOut
from stemlight.serve.spectrogram import frequency_range_hz, spectrogram_png
from stemlight.serve.stem_mp4 import write_stem_mp4
from stemlight.serve.studio import OwnJob, Studio, StudioHere
from stemlight.serve.views import API, stem_format

__all__ = [
    "get_archive",
    "get_original",
    "get_peaks",
    "get_piece",
    "get_spectrogram",
    "get_stem",
    "get_stem_mp4",
    "media_router",
    "mix",
    "play",
]

media_router = APIRouter(
    prefix=f"{API}/jobs/{{job_id}}",
    tags=["results"],
    responses={**ERRORS, 409: {"model": ErrorOut}, 416: {"model": ErrorOut}},
)

_MEDIA_TYPES = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "stem.mp4": "audio/mp4",
}
_PLAYABLE = ("wav", "flac")
_MOST_PIECE_FRAMES = 2**21  # 47 s at 44.1 kHz


def _sound(media_type: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    return {200: {"content": content}, 206: {"content": content}}


@media_router.get("/stems/{file_name}", response_class=FileResponse, responses=_sound("audio/*"))
def get_stem(file_name: str, job: OwnJob, studio: StudioHere, download: bool = False) -> Response:
    """Give a stem in the format that was asked; ranges, and `?download=1` to save it."""
    format = stem_format(job)
    name = file_name.removesuffix(f".{format}")
    stem = _stem(job, name)
    if name == file_name:
        raise RefusalError(404, f"the stems of this job are .{format}, not {file_name[-40:]!r}")
    path = studio.result_file(job, stem["file"])
    return _file(path, format, f"{_title(job)} - {name}.{format}" if download else None)


@media_router.get("/play/{name}", response_class=FileResponse, responses=_sound("audio/*"))
async def play(name: str, job: OwnJob, studio: StudioHere) -> Response:
    """Give a stem as browsers decode it to the sample: FLAC or WAV."""
    path = await _playable(name, job, studio)
    return _file(path, path.suffix.removeprefix("."), None)


@media_router.get("/pieces/{name}", response_class=Response, responses=_sound("audio/wav"))
async def get_piece(
    name: str,
    job: OwnJob,
    studio: StudioHere,
    first: int = Query(ge=0, le=2**40),
    count: int = Query(ge=1, le=_MOST_PIECE_FRAMES),
) -> Response:
    """Give `count` frames of a stem or of the original, from `first` on, as WAV; fewer at the end.

    Frames are counted at the job's sample rate, so those of all its sounds are the same moments.
    """
    path = await _playable(name, job, studio)
    content = await studio.readers.run(functools.partial(read_piece, path, first, count))
    return Response(content, media_type=_MEDIA_TYPES["wav"])


@media_router.get("/original", response_class=FileResponse, responses=_sound("audio/*"))
def get_original(job: OwnJob, studio: StudioHere) -> Response:
    """Give the song itself as browsers play it: FLAC of 16 bits, or WAV."""
    _refuse_unfinished(job)
    path = studio.result_file(job, job.result["original"]["file"])
    return _file(path, path.suffix.removeprefix("."), None)


@media_router.get(
    "/stems.zip", response_class=StreamingResponse, responses=_sound("application/zip")
)
def get_archive(job: OwnJob, studio: StudioHere) -> Response:
    """Give all stems as a zip."""
    _refuse_unfinished(job)
    format = stem_format(job)
    files = {
        f"{name}.{format}": studio.result_file(job, stem["file"])
        for name, stem in job.result["stems"].items()
    }
    headers = {"Content-Disposition": _attachment(f"{_title(job)}.zip")}
    for path in files.values():
        path.stat()
    return StreamingResponse(zip_pieces(files), media_type="application/zip", headers=headers)


@media_router.get("/stems.mp4", response_class=FileResponse, responses=_sound("audio/mp4"))
async def get_stem_mp4(job: OwnJob, studio: StudioHere) -> Response:
    """Give all stems and the song as one STEM file, for DJ software."""
    _refuse_unfinished(job)
    if not job.result["has_stem_mp4"]:
        raise RefusalError(
            409,
            "a STEM file holds four stems of 44100 or 48000 Hz in stereo, and these are others; "
            "take the zip",
        )
    target = studio.result_file(job, "made", "stem.mp4")
    folder = studio.result_file(job)
    await _made(studio, job, target, functools.partial(write_stem_mp4, folder, job.result))
    return _file(target, "stem.mp4", f"{_title(job)}.stem.mp4")


@media_router.get("/peaks/{name}", responses={200: {"model": PeaksOut}})
def get_peaks(
    name: str, job: OwnJob, studio: StudioHere, format: str = Query("json", max_length=10)
) -> Response:
    """Give the outline of a stem or of the original; `?format=binary` gives signed bytes alone."""
    if name != ORIGINAL:
        _stem(job, name)
    _refuse_unfinished(job)
    facts, data = read_peaks(studio.result_file(job, f"{name}.peaks"))
    if format == "binary":
        headers = {f"X-{key.replace('_', '-').title()}": str(value) for key, value in facts.items()}
        return Response(data, media_type="application/octet-stream", headers=headers)
    if format != "json":
        raise RefusalError(422, f"format must be json or binary, not {format!r}")
    return JSONResponse({**facts, "data": peak_numbers(data)})


@media_router.get("/spectrogram/{name}", response_class=FileResponse, responses=_sound("image/png"))
async def get_spectrogram(name: str, job: OwnJob, studio: StudioHere) -> Response:
    """Give a picture of frequencies over time, of a stem or of the original."""
    _refuse_unfinished(job)
    entry = job.result["original"] if name == ORIGINAL else _stem(job, name)
    rate_hz = int(entry.get("sample_rate_hz", job.result["sample_rate_hz"]))
    source = studio.result_file(job, entry["file"])
    target = studio.result_file(job, "made", f"{name}.png")
    n_samples = round(job.result["duration_seconds"] * rate_hz)

    def draw(path: Path) -> None:
        path.write_bytes(spectrogram_png(source, n_samples=n_samples))

    await _made(studio, job, target, draw)
    low_hz, high_hz = frequency_range_hz(rate_hz)
    headers = {"X-Frequency-Low-Hz": f"{low_hz:g}", "X-Frequency-High-Hz": f"{high_hz:g}"}
    return FileResponse(target, media_type="image/png", headers=headers)


@media_router.post("/mix", response_class=FileResponse, responses=_sound("audio/*"))
async def mix(asked: MixIn, job: OwnJob, studio: StudioHere) -> Response:
    """Mix the stems into one file, as they are heard; `X-Gain-Db` says what clipping took off."""
    _refuse_unfinished(job)
    for name in asked.stems:
        _stem(job, name)
    heard = {
        studio.result_file(job, stem["file"]): StemMix(how.gain_db, how.pan)
        for name, stem in job.result["stems"].items()
        if (how := asked.stems.get(name)) is not None and not how.muted
    }
    heard |= {
        studio.result_file(job, stem["file"]): StemMix()
        for name, stem in job.result["stems"].items()
        if name not in asked.stems
    }
    target = part_path(studio.result_file(job, "made", f"mix.{asked.format}"))
    make = functools.partial(
        write_mix, heard, target, format=asked.format, bit_depth=asked.bit_depth
    )
    try:
        gain_db = await studio.makers.run(make)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return FileResponse(
        target,
        media_type=_MEDIA_TYPES[asked.format],
        headers={
            "X-Gain-Db": f"{gain_db:.3f}",
            "Content-Disposition": _attachment(f"{_title(job)} - mix.{asked.format}"),
        },
        background=BackgroundTask(target.unlink, missing_ok=True),
    )


def _refuse_unfinished(job: Job) -> None:
    if job.state == "expired":
        raise RefusalError(404, "the result has expired; submit the song again")
    if job.state != "done":
        raise RefusalError(409, f"the job is {job.state} and has no result")


def _stem(job: Job, name: str) -> dict[str, Any]:
    """Return what the result says of a stem; names that it does not have lead nowhere."""
    _refuse_unfinished(job)
    stems: dict[str, dict[str, Any]] = job.result["stems"]
    if name not in stems:
        raise RefusalError(404, f"the job has no stem {name[:40]!r}; it has {', '.join(stems)}")
    return stems[name]


async def _playable(name: str, job: Job, studio: Studio) -> Path:
    """Return a sound's file as browsers decode it; of other formats it is made once."""
    if name == ORIGINAL:
        _refuse_unfinished(job)
        return studio.result_file(job, job.result["original"]["file"])
    source = studio.result_file(job, _stem(job, name)["file"])
    if stem_format(job) in _PLAYABLE:
        return source
    rate_hz = job.result["sample_rate_hz"]
    format = playable_format(rate_hz, job.result["n_channels"])
    target = studio.result_file(job, "made", f"{name}.{format}")
    await _made(studio, job, target, functools.partial(_decode, source, rate_hz))
    return target


async def _made(studio: Studio, job: Job, target: Path, make: Any) -> None:
    n_bytes = await studio.makers.kept(target, make)
    if n_bytes:
        await run_in_threadpool(studio.store.add_bytes, job.id, n_bytes)


def _decode(source: Path, rate_hz: int, target: Path) -> None:
    write_playable(source, target, sample_rate_hz=rate_hz)


def _file(path: Path, format: str, download_as: str | None) -> FileResponse:
    headers = {} if download_as is None else {"Content-Disposition": _attachment(download_as)}
    return FileResponse(path, media_type=_MEDIA_TYPES[format], headers=headers)


def _title(job: Job) -> str:
    """Return the song's name less its suffix."""
    return Path(job.name).stem or "song"


def _attachment(name: str) -> str:
    """Return a header whose name cannot end it: letters that are not plain are escaped."""
    plain = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in " .-_()") else "_"
        for letter in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
