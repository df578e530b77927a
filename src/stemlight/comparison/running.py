"""Scores systems on tracks, and stores what is done as soon as it is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from stemlight.audio import probe
from stemlight.audio.wording import shown
from stemlight.comparison.records import (
    TrackRecord,
    file_name,
    level_frames_dbfs,
    read_record,
    record_key,
    write_record,
)
from stemlight.comparison.systems import System
from stemlight.comparison.workers import OpenSystems, Workers
from stemlight.errors import InputError
from stemlight.evaluation import (
    FRAME_SECONDS,
    ReferenceTrack,
    Samples,
    measure_estimates,
    track_hash,
)
from stemlight.tracks import ACCOMPANIMENT, TrackFiles

__all__ = [
    "PAPER_STEMS",
    "RESULTS_FOLDER",
    "ReadableTrack",
    "ScoredTrack",
    "Scoring",
    "reference_stems",
    "score_tracks",
    "scored_stems",
    "scored_tracks",
]

PAPER_STEMS = ("vocals", "drums", "bass", "other")
"""In the order of the papers' tables."""

RESULTS_FOLDER = "results"


class ReadableTrack(Protocol):
    """Anything that has a name and reads mixture and sources, as `TrackFiles` does."""

    @property
    def name(self) -> str:
        """What it is called in all tables."""

    def read(
        self, sources: tuple[str, ...], sample_rate_hz: int
    ) -> tuple[Samples, dict[str, Samples]]:
        """Return mixture and references."""


@dataclass(frozen=True, kw_only=True)
class ScoredTrack:
    """A track, and what is read of it at which rate."""

    track: ReadableTrack
    references: tuple[str, ...]
    sample_rate_hz: int

    @property
    def name(self) -> str:
        """The track's."""
        return self.track.name

    def load(self) -> ReferenceTrack:
        """Read mixture and references."""
        mixture, references = self.track.read(self.references, self.sample_rate_hz)
        return ReferenceTrack(
            name=self.name,
            references=references,
            mixture=mixture,
            sample_rate_hz=self.sample_rate_hz,
        )


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Which systems and stems are scored by what, and where results are kept (None: nowhere)."""

    systems: tuple[str, ...]
    stems: tuple[str, ...]
    metrics: tuple[str, ...]
    folder: Path | None = None
    n_threads: int = 1


def scored_stems(systems: Iterable[System]) -> tuple[str, ...]:
    """Return all stems that any of the systems gives, those of the papers first.

    Those of the papers, if all systems give whatever there is. The accompaniment of one stem is no
    stem beside others, so it counts only where there is one other stem at most.
    """
    given = [system.sources for system in systems if system.sources is not None]
    found = dict.fromkeys(name for sources in given for name in sources)
    if not given:
        found = dict.fromkeys(PAPER_STEMS)
    if len(found) > 2:
        found.pop(ACCOMPANIMENT, None)
    return (
        *(name for name in PAPER_STEMS if name in found),
        *(name for name in found if name not in PAPER_STEMS),
    )


def reference_stems(stems: Sequence[str]) -> tuple[str, ...]:
    """Return all stems to look for in the data: interference is that of stems nobody scores, too.

    Beside the accompaniment there is nothing that could interfere.
    """
    if ACCOMPANIMENT in stems:
        return tuple(stems)
    return tuple(dict.fromkeys((*PAPER_STEMS, *stems)))


def scored_tracks(
    tracks: Sequence[TrackFiles], wanted: Sequence[str], root: Path
) -> list[ScoredTrack]:
    """Return tracks with those references whose truth is known, each at its files' rate.

    Raises:
        InputError: A file cannot be read, or two tracks are called alike.
    """
    names = [track.name for track in tracks]
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"{shown(root)} holds two tracks called {name!r}; results go by name, so rename one"
            )
    found = []
    for track in tracks:
        known = track.sources if track.mixture is not None else wanted
        files = [file for stem in track.stems.values() for file in stem.files]
        info = probe(files[0].path, stream=files[0].stream)
        found.append(
            ScoredTrack(
                track=track,
                references=tuple(name for name in wanted if name in known),
                sample_rate_hz=info.sample_rate_hz,
            )
        )
    return found


def score_tracks(
    scoring: Scoring, tracks: Sequence[ScoredTrack], workers: Workers
) -> dict[str, list[TrackRecord]]:
    """Separate and score all tracks with all systems; return records by system, in their order.

    What lies in the folder already, of the same data, systems and metrics, is not done again.

    Raises:
        StemlightError: A track cannot be read or separated; what is done stays stored.
    """
    items = {track.name: track for track in tracks}
    rows = workers.do_all(partial(_score_track, scoring), items)
    return {name: [row[name] for row in rows] for name in scoring.systems}


def _score_track(
    scoring: Scoring, systems: OpenSystems, item: ScoredTrack
) -> dict[str, TrackRecord]:
    track = item.load()
    assert track.mixture is not None, "load reads it"
    data_hash = track_hash(track.references, track.mixture, track.sample_rate_hz)
    records = {}
    for name in scoring.systems:
        system = systems[name]
        stems = tuple(stem for stem in scoring.stems if stem in track.references)
        key = record_key(system.identity(track.name), data_hash, stems, scoring.metrics)
        path = None
        if scoring.folder is not None:
            path = scoring.folder / RESULTS_FOLDER / file_name(name)
            path /= f"{file_name(track.name)}.json"
        stored = None if path is None else read_record(path, key)
        records[name] = stored or _measured(scoring, system, track, stems)
        if path is not None and stored is None:
            write_record(path, key, records[name])
    return records


def _measured(
    scoring: Scoring, system: System, track: ReferenceTrack, stems: Sequence[str]
) -> TrackRecord:
    given: Mapping[str, Samples] = system.separate(track)
    estimates = {name: given[name] for name in stems if name in given}
    found = measure_estimates(
        track, estimates, metrics=scoring.metrics, n_threads=scoring.n_threads
    )
    frame_samples = round(FRAME_SECONDS * track.sample_rate_hz)
    levels_dbfs = level_frames_dbfs(track, list(estimates), frame_samples)
    return TrackRecord(system=system.name, metrics=found, levels_dbfs=levels_dbfs)
