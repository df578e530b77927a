"""What to make of a song, checked before any song is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from stemlight.audio import FORMATS, STEM_MP4_STEMS, AudioWriter, check_stem_mp4
from stemlight.errors import UsageError, did_you_mean
from stemlight.separation.exact_sum import check_exact_sum
from stemlight.separation.separator import Separator

__all__ = ["SONG_FORMATS", "STEM_MP4", "OnClip", "SongOptions", "check_options", "is_whole"]

STEM_MP4 = "stem.mp4"
"""One file with the mixture and four stems, for DJ software."""

SONG_FORMATS = (*FORMATS, STEM_MP4)
"""Formats that stems are written in."""

OnClip = Literal["guard", "clip"]
"""Where a stem is louder than whole numbers can hold: lower all of them, or saturate and count."""


@dataclass(frozen=True, kw_only=True)
class SongOptions:
    """What to make of a song.

    `sources` and `complement` are those of `Separator.stream`, `bit_depth` and `bit_rate_kbps`
    those of `AudioWriter`. Without `overwrite`, a folder that holds one of the stems already is
    refused.

    Raises:
        UsageError: no such format or bit depth, or they do not go together; an exact sum in a
            format that is not lossless; or `on_clip` is unknown.
    """

    sources: Sequence[str] | None = None
    complement: str | None = None
    format: str = "wav"
    bit_depth: str | None = None
    bit_rate_kbps: int | None = None
    overwrite: bool = False
    keep_tags: bool = True
    """Carry over the song's tags and pictures; titles say which stem it is."""
    exact_sum: str | None = None
    """Make the stems add up to the mixture, to the last bit: see `stemlight.separation.exact_sum`.
    "proportional" shares what they lack by level in time and frequency; the name of a stem gives
    it to that one. Where a guard gain is needed the sum is the mixture times that gain, rounded."""
    on_clip: OnClip = "guard"
    """Concerns 16 and 24 bits; other formats hold what is louder than full scale."""
    max_duration_seconds: float | None = None
    """Songs that last longer are refused, at once if their file says so."""
    resume: str | None = None
    """Names the model, engine and device (`stemlight.weights.fingerprints.model_fingerprint`). With
    it, stems that were made before of the same input, model and options are not made again, and a
    record for that is kept beside them: see `stemlight.separation.resume`."""

    def __post_init__(self) -> None:
        if self.format not in SONG_FORMATS:
            raise UsageError(
                f"format must be one of {', '.join(SONG_FORMATS)}, not {self.format!r}"
                f"{did_you_mean(self.format, SONG_FORMATS)}"
            )
        bit_depth = self.written_bit_depth
        if self.bit_rate_kbps is not None and bit_depth is not None:
            raise UsageError(
                f"lossless {self.format} has no bit rate, but {self.bit_rate_kbps} kbit/s were "
                "asked; leave it out"
            )
        if self.max_duration_seconds is not None and not self.max_duration_seconds > 0:
            raise UsageError(
                f"max_duration_seconds must be above 0, not {self.max_duration_seconds}"
            )
        if self.on_clip not in get_args(OnClip):
            raise UsageError(
                f"on_clip must be one of {', '.join(get_args(OnClip))}, not {self.on_clip!r}"
                f"{did_you_mean(self.on_clip, get_args(OnClip))}"
            )
        if self.exact_sum is not None and bit_depth is None:
            depth = ", or give it a bit depth" if self.format in ("m4a", STEM_MP4) else ""
            raise UsageError(
                f"{self.format} keeps no sample exactly, so stems in it cannot have an exact sum; "
                f"use wav or flac{depth}, or leave the exact sum out"
            )

    @property
    def written_bit_depth(self) -> str | None:
        """What a sample becomes: the bit depth with its default; None in a lossy format.

        Raises:
            UsageError: the format has no such bit depth.
        """
        if self.format == STEM_MP4:
            check_stem_mp4(
                STEM_MP4_STEMS, sample_rate_hz=44_100, n_channels=2, bit_depth=self.bit_depth
            )
            return self.bit_depth
        # Making a writer touches no file, and checks what does not depend on the song.
        return AudioWriter(
            f"stem.{self.format}",
            sample_rate_hz=44_100,
            n_channels=2,
            format=self.format,
            bit_depth=self.bit_depth,
        ).bit_depth


def check_options(options: SongOptions, separator: Separator) -> tuple[str, ...]:
    """Check what depends on the model; return the names of the stems.

    Raises:
        UsageError: the model has no such source, an exact sum cannot be asked of these stems, or
            the format does not hold as many.
    """
    stems = separator.stream(
        channels=2, sources=options.sources, complement=options.complement
    ).stems
    if options.exact_sum is not None:
        check_exact_sum(options.exact_sum, stems, is_whole=is_whole(options, separator))
    if options.format == STEM_MP4:
        check_stem_mp4(stems, sample_rate_hz=44_100, n_channels=2)
    return stems


def is_whole(options: SongOptions, separator: Separator) -> bool:
    """Tell whether the stems are all of the mixture: every source, or some and the complement."""
    sources = separator.sources if options.sources is None else options.sources
    return options.complement is not None or set(sources) == set(separator.sources)
