"""Checks tracks before they are trained on: what is missing, silent, clipped, doubled or broken."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from stemlight.tracks.files import TrackFiles
from stemlight.tracks.measuring import TrackMeasures, measure_track

__all__ = ["DataCheck", "Finding", "FindingKind", "check_tracks"]

FindingKind = Literal[
    "unreadable", "missing", "silent", "clipped", "sum", "lengths", "rates", "duplicate"
]

_LEAST_LOSSLESS_DB = 40.0
"""The mixture over what its stems lack of it. Rounding to 16 bits leaves 60 dB and more; an effect
on the sum of all, or a stem that nobody exported, leaves less than this."""
_LEAST_LOSSY_DB = 15.0
"""With a mixture that is an encoding of its own: those of MUSDB18's excerpts have 23 to 33 dB."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a track that its user should know, in a line."""

    kind: FindingKind
    track: str
    text: str


@dataclass(frozen=True, kw_only=True)
class DataCheck:
    """All tracks with their measures, and what was found."""

    sources: tuple[str, ...]
    tracks: tuple[TrackMeasures, ...]
    findings: tuple[Finding, ...]

    @property
    def duration_seconds(self) -> float:
        """Of all tracks together."""
        return sum(track.duration_seconds for track in self.tracks)

    @property
    def n_tracks_of_rate(self) -> dict[int, int]:
        """How many tracks have files of each sample rate in Hz."""
        counts = Counter(rate for track in self.tracks for rate in track.sample_rates_hz)
        return dict(sorted(counts.items()))

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, which has no infinity: a sum without an error is null."""
        return {
            "n_tracks": len(self.tracks),
            "duration_seconds": self.duration_seconds,
            "n_tracks_of_rate": {str(rate): n for rate, n in self.n_tracks_of_rate.items()},
            "sources": list(self.sources),
            "tracks": [_plain(track) for track in self.tracks],
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }


def check_tracks(
    tracks: Sequence[TrackFiles],
    sources: Iterable[str],
    *,
    on_track: Callable[[str], None] = lambda name: None,
) -> DataCheck:
    """Read all tracks once and tell what is wrong or odd with them.

    `sources` are those of a whole track; where one is missing, the rest of the mixture is
    accompaniment, and the stems need not add up. `on_track` is called before each track is read.
    """
    whole = tuple(sources)
    measured = []
    for track in tracks:
        on_track(track.name)
        measured.append(measure_track(track))
    findings = [finding for track in measured for finding in _findings(track, whole)]
    return DataCheck(
        sources=whole,
        tracks=tuple(measured),
        findings=(*findings, *_duplicates(measured)),
    )


def _findings(track: TrackMeasures, sources: Sequence[str]) -> Iterator[Finding]:
    def found(kind: FindingKind, text: str) -> Finding:
        return Finding(kind=kind, track=track.name, text=text)

    parts = track.parts
    yield from (found("unreadable", fault) for fault in track.faults)
    missing = [source for source in sources if source not in track.stems]
    if missing:
        yield found("missing", f"has no {', '.join(missing)}")
    silent = [name for name, part in parts.items() if part.is_silent]
    if silent:
        yield found("silent", f"{', '.join(silent)}: all silence (-60 dB)")
    clipped = [f"{name} {part.n_clipped}" for name, part in parts.items() if part.n_clipped]
    if clipped:
        yield found("clipped", f"runs at or beyond full scale: {', '.join(clipped)}")
    readable = {
        name: part for name, part in parts.items() if not (part.faults or part.is_known_silent)
    }
    if len(track.sample_rates_hz) > 1:
        rates = [f"{name} {_hertz(part.sample_rates_hz)}" for name, part in readable.items()]
        yield found("rates", f"sample rates differ: {', '.join(rates)}")
    elif len({part.n_samples for part in readable.values()}) > 1:
        lengths = [f"{name} {part.n_samples}" for name, part in readable.items()]
        yield found("lengths", f"lengths in samples differ: {', '.join(lengths)}")
    if not missing and (text := _sum_text(track)):
        yield found("sum", text)


def _sum_text(track: TrackMeasures) -> str:
    """Say that the stems do not add up, if so."""
    if track.sum_db is None:
        return ""
    is_lossless = all(part.is_lossless for part in track.parts.values())
    least_db = _LEAST_LOSSLESS_DB if is_lossless else _LEAST_LOSSY_DB
    if track.sum_db >= least_db:
        return ""
    kind = "lossless" if is_lossless else "lossy"
    return (
        f"the mixture is only {track.sum_db:.1f} dB above what the stems lack of it; {kind} files "
        f"should reach {least_db:.0f} dB"
    )


def _duplicates(tracks: Iterable[TrackMeasures]) -> Iterator[Finding]:
    """Tell what sounds like something before it; silence and what was not read are no sound."""
    first: dict[str, tuple[TrackMeasures, str]] = {}
    for track in tracks:
        names_of_twin: dict[str, list[str]] = {}
        for name, part in track.parts.items():
            if part.is_silent or part.is_known_silent or part.faults:
                continue
            if part.digest not in first:
                first[part.digest] = track, name
                continue
            other, twin = first[part.digest]
            where = f"{other.name}/{twin}" if twin != name else other.name
            if other is not track and other.name == track.name:
                where += ", another track of this name"
            names_of_twin.setdefault(where, []).append(name)
        for where, names in names_of_twin.items():
            text = f"{', '.join(names)}: the same samples as in {where}"
            yield Finding(kind="duplicate", track=track.name, text=text)


def _hertz(rates: Sequence[int]) -> str:
    return " and ".join(map(str, rates)) + " Hz"


def _plain(track: TrackMeasures) -> dict[str, Any]:
    is_finite = track.sum_db is not None and math.isfinite(track.sum_db)
    return {
        "name": track.name,
        "duration_seconds": track.duration_seconds,
        "sum_db": track.sum_db if is_finite else None,
        "parts": {name: dataclasses.asdict(part) for name, part in track.parts.items()},
    }
