"""What the service takes and gives, for its OpenAPI description."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from stemlight.serve.jobs import JobState

__all__ = [
    "ErrorIn",
    "ErrorOut",
    "FormatOut",
    "HealthOut",
    "JobOptions",
    "JobOut",
    "KeyIn",
    "LimitsOut",
    "MixIn",
    "ModelOut",
    "OptionsOut",
    "OriginalOut",
    "PathJobIn",
    "PeaksOut",
    "StemMixIn",
    "StemOut",
]

StemName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
_Format = Annotated[str, Field(max_length=16)]
_BitDepth = Literal["16", "24", "float"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobOptions(_Strict):
    """What to make of a song."""

    model: Annotated[str | None, Field(max_length=200, description="null is the default model")] = (
        None
    )
    stems: Annotated[
        list[StemName] | None,
        Field(min_length=1, max_length=32, description="null is all that the model has"),
    ] = None
    complement: Annotated[
        StemName | None,
        Field(description="name for what is left of the song without the asked stems"),
    ] = None
    format: _Format = "wav"
    bit_depth: _BitDepth | None = None


class PathJobIn(_Strict):
    """A song that lies on the server, below an allowed folder."""

    path: str = Field(min_length=1, max_length=4096)
    options: JobOptions = Field(default_factory=JobOptions)


class KeyIn(_Strict):
    """The key that a page was given by its user."""

    key: str = Field(max_length=1000)


class StemMixIn(_Strict):
    """How one stem goes into a mix."""

    gain_db: Annotated[float, Field(ge=-120.0, le=24.0, allow_inf_nan=False)] = 0.0
    pan: Annotated[float, Field(ge=-1.0, le=1.0, allow_inf_nan=False)] = 0.0
    muted: bool = False


class MixIn(_Strict):
    """A mix of a job's stems; those that are not named are as they are."""

    stems: dict[StemName, StemMixIn] = Field(default_factory=dict, max_length=32)
    format: _Format = "wav"
    bit_depth: _BitDepth | None = None


class ErrorIn(BaseModel):
    """What went wrong, in a word and in a line."""

    code: str
    message: str


class ErrorOut(BaseModel):
    """Every answer that is an error."""

    error: ErrorIn


class HealthOut(BaseModel):
    """That the server lives."""

    status: Literal["ok", "no_workers"]
    version: str


class ModelOut(BaseModel):
    """A model to choose."""

    name: str
    sources: list[str]
    summary: str
    licence: str
    is_default: bool


class FormatOut(BaseModel):
    """A format to choose."""

    name: str
    bit_depths: list[str]


class LimitsOut(BaseModel):
    """What is refused beyond."""

    upload_bytes: int
    duration_seconds: float
    jobs_per_client: int


class OptionsOut(BaseModel):
    """What a job may ask."""

    formats: list[FormatOut]
    limits: LimitsOut
    expires_after_seconds: float


class StemOut(BaseModel):
    """One stem of a result."""

    name: str
    url: str
    play_url: str
    pieces_url: str
    """With `?first=N&count=N`: these frames, as WAV."""
    size_bytes: int
    peaks_url: str
    spectrogram_url: str


class OriginalOut(BaseModel):
    """The song itself, as browsers play it."""

    url: str
    pieces_url: str
    peaks_url: str
    spectrogram_url: str


class JobOut(BaseModel):
    """A job, as its owner sees it."""

    id: str
    name: str
    state: JobState
    position: int | None
    progress: float
    seconds_left: float | None
    message: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    options: JobOptions
    duration_seconds: float | None
    sample_rate_hz: int | None
    stems: list[StemOut]
    original: OriginalOut | None
    archive_url: str | None
    stem_mp4_url: str | None
    mix_url: str | None


class PeaksOut(BaseModel):
    """The outline of a sound: low, high, low, high ... of all channels together."""

    version: int
    channels: int
    sample_rate_hz: int
    samples_per_point: int
    length: int
    n_samples: int
    data: list[int]
