"""What the two decoders have in common: what they tell and how they fail."""

from __future__ import annotations

from dataclasses import dataclass

from stemlight.errors import InputError

__all__ = ["AudioInfo", "NotDecodableError", "damaged", "wrong_stream"]


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What a file says about one of its audio streams, before any of it is decoded."""

    path: str
    """The path as it was given; `<stdin>` or `<stream>` for a file object."""
    format: str
    """Container, in small letters: wav, flac, ogg, mp3, mp4, matroska ..."""
    codec: str
    """What is in it, in small letters: pcm_24, vorbis, aac ..."""
    sample_rate_hz: int
    n_channels: int
    n_samples: int | None
    """Length that reading gives exactly, or else fails; None: the container does not tell."""
    duration_seconds: float | None
    """Length; an estimate of the container's where `n_samples` is None."""
    n_streams: int = 1
    """Audio streams in the file; a STEM mp4 has five."""


class NotDecodableError(Exception):
    """This decoder cannot do anything with the file; another one may."""


def damaged(name: str, n_samples: int, sample_rate_hz: int, of_seconds: float | None) -> InputError:
    """Return the error for a file of which only `n_samples` can be read."""
    total = "" if of_seconds is None else f" of {of_seconds:.2f} s"
    return InputError(
        f"{name} is cut off or damaged: {n_samples / sample_rate_hz:.2f} s{total} can be read; "
        "get it anew, or save what is left of it as WAV with another program"
    )


def wrong_stream(name: str, stream: int, n_streams: int) -> InputError:
    """Return the error for an audio stream that the file does not have."""
    if n_streams == 1:
        return InputError(f"{name} has 1 audio stream; stream must be 0, not {stream}")
    return InputError(
        f"{name} has {n_streams} audio streams; stream must be 0 to {n_streams - 1}, not {stream}"
    )
