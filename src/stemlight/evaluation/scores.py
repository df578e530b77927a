"""SDR of tracks and its means; is handed a callable, never a model.

It is that of the Music Demixing Challenge 2021: energy of the reference over energy of the error,
over a whole track and both channels at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stemlight.evaluation.signals import Samples
from stemlight.shapes import Float32

__all__ = ["Scores", "Separate", "TrackScore", "evaluate_tracks", "score_track", "sdr_db"]

Separate = Callable[[Samples], Mapping[str, Samples]]

_DELTA = 1e-7  # of the challenge's definition: keeps the ratio finite for silence


def sdr_db(
    reference: Float32[np.ndarray, "channels samples"],
    estimate: Float32[np.ndarray, "channels samples"],
) -> float:
    """Signal-to-distortion ratio in decibels; higher is better, silence as estimate has 0."""
    signal = np.square(reference, dtype=np.float64).sum()
    error = np.square(np.subtract(reference, estimate, dtype=np.float64)).sum()
    return float(10 * np.log10((signal + _DELTA) / (error + _DELTA)))


@dataclass(frozen=True, kw_only=True)
class TrackScore:
    """SDR in decibels of each stem of a track; stems that are silent in the track are left out."""

    name: str
    sdr_db: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """The scores of all tracks."""

    tracks: Sequence[TrackScore]

    @property
    def mean_sdr_db(self) -> dict[str, float]:
        """Mean over the tracks, for each stem; NaN for a stem that no track has."""
        names = dict.fromkeys(name for track in self.tracks for name in track.sdr_db)
        return {name: self._mean(name) for name in names}

    @property
    def average_sdr_db(self) -> float:
        """Mean over the stems of their means over the tracks."""
        means = self.mean_sdr_db.values()
        return math.fsum(means) / len(means) if means else math.nan

    def _mean(self, name: str) -> float:
        values = [track.sdr_db[name] for track in self.tracks if name in track.sdr_db]
        return math.fsum(values) / len(values)


def evaluate_tracks(
    separate: Separate, tracks: Iterable[tuple[str, Samples, Mapping[str, Samples]]]
) -> Scores:
    """Separate each `(name, mixture, references)` and score its stems."""
    return Scores(
        tracks=[
            score_track(name, references, separate(mixture)) for name, mixture, references in tracks
        ]
    )


def score_track(
    name: str, references: Mapping[str, Samples], estimates: Mapping[str, Samples]
) -> TrackScore:
    """Score the stems of one track. A silent reference has no SDR and is left out."""
    return TrackScore(
        name=name,
        sdr_db={
            stem: sdr_db(reference, estimates[stem])
            for stem, reference in references.items()
            if np.any(reference)
        },
    )
