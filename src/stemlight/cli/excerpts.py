"""A part of a song, and of its true stems, as the options of `stemlight inspect` name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stemlight.cli.console import note
from stemlight.errors import InputError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from stemlight.shapes import Float32
    from stemlight.tracks import TrackFiles

    Samples = Float32[np.ndarray, "2 samples"]

__all__ = ["Excerpt", "ExcerptOptions", "read_excerpt"]

_STEM_MP4_SUFFIX = ".stem.mp4"


@dataclass(frozen=True)
class Excerpt:
    """Stereo sound at a model's rate, and those of its true stems that are known."""

    mixture: Samples
    references: Mapping[str, Samples]


@dataclass(frozen=True, kw_only=True)
class ExcerptOptions:
    """Where the song is, where its stems are, and which part of it is taken."""

    audio: Path | None
    references: Path | None
    start_seconds: float
    duration_seconds: float

    @property
    def has_song(self) -> bool:
        """Whether there is anything to read."""
        return self.audio is not None or self.references is not None


def read_excerpt(options: ExcerptOptions, sources: tuple[str, ...], sample_rate_hz: int) -> Excerpt:
    """Read song and stems, and cut them; a part that is left out is noted.

    Raises:
        InputError: a file cannot be read, or the stems are not those of the song.
        UsageError: the part lies behind the song.
    """
    from stemlight.audio import read_audio

    mixture, stems = None, dict[str, "Samples"]()
    if options.references is not None:
        track = _track(options.references, sources)
        known = [name for name in sources if name in track.sources]
        mixture, stems = track.read(known, sample_rate_hz)
    if options.audio is not None:
        song = read_audio(options.audio, sample_rate_hz=sample_rate_hz, channels=2).samples
        if mixture is not None and mixture.shape != song.shape:
            raise InputError(
                f"{options.audio} lasts {song.shape[1] / sample_rate_hz:.3f} s, "
                f"{options.references} {mixture.shape[1] / sample_rate_hz:.3f} s; give the stems "
                "of the same song"
            )
        mixture = song
    assert mixture is not None, "asked for without a song"
    first = round(options.start_seconds * sample_rate_hz)
    if first >= mixture.shape[1]:
        raise UsageError(
            f"--start {options.start_seconds:g} lies behind the song, which lasts "
            f"{mixture.shape[1] / sample_rate_hz:.2f} s"
        )
    kept = slice(first, first + max(1, round(options.duration_seconds * sample_rate_hz)))
    n_kept = mixture[:, kept].shape[1]
    if n_kept < mixture.shape[1]:
        note(f"taken: {n_kept / sample_rate_hz:.2f} s from {options.start_seconds:g} s on")
    return Excerpt(mixture[:, kept], {name: stem[:, kept] for name, stem in stems.items()})


def _track(place: Path, sources: tuple[str, ...]) -> TrackFiles:
    from stemlight.tracks import find_tracks

    if not place.is_file():
        found = find_tracks(place, sources=sources)
        if len(found) > 1:
            some = ", ".join(track.name for track in found[:3])
            raise InputError(f"{place} holds {len(found)} tracks ({some} ...); name one of them")
        return found[0]
    if not place.name.endswith(_STEM_MP4_SUFFIX):
        raise InputError(f"{place} is no *{_STEM_MP4_SUFFIX} file; give one, or a folder of stems")
    name = place.name.removesuffix(_STEM_MP4_SUFFIX)
    found = find_tracks(place.parent, sources=sources)
    return next(track for track in found if track.name == name)
