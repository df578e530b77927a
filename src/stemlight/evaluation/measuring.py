"""All metrics of a track, and their summaries over tracks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stemlight.errors import UsageError
from stemlight.evaluation.bss import bss_eval
from stemlight.evaluation.correlations import in_threads
from stemlight.evaluation.fingerprints import data_hash, track_hash
from stemlight.evaluation.metrics import (
    FRAME_SECONDS,
    METRICS,
    Aggregation,
    Metric,
    StemSignals,
    metric_named,
)
from stemlight.evaluation.signals import Samples, check_like, check_signals, rounded_to_16_bits
from stemlight.shapes import Float

__all__ = [
    "ReferenceTrack",
    "StemMetrics",
    "Summary",
    "TrackMetrics",
    "measure_estimates",
    "summarise",
]


@dataclass(frozen=True, kw_only=True)
class ReferenceTrack:
    """A track and the truth of its stems."""

    name: str
    references: Mapping[str, Samples]
    mixture: Samples | None = None
    sample_rate_hz: int = 44_100


@dataclass(frozen=True, kw_only=True)
class StemMetrics:
    """Every metric of one stem; NaN where it is not defined, as SDR of a silent reference."""

    values: Mapping[str, float]
    """Metrics by name; those of frames as their registry aggregates frames."""

    frames: Mapping[str, Float[np.ndarray, " frames"]] = field(default_factory=dict)
    """The metrics that have frames, frame by frame; NaN where a frame has no value."""


@dataclass(frozen=True, kw_only=True)
class TrackMetrics:
    """What was measured of one track, and the hash of its references and mixture."""

    name: str
    duration_seconds: float
    stems: Mapping[str, StemMetrics]
    data_hash: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One metric over all tracks."""

    metric: Metric
    over_frames: Aggregation | None
    over_tracks: Aggregation
    n_tracks: int
    data_hash: str
    stems: Mapping[str, float]
    """One value for each stem; NaN for a stem that has one in no track."""

    @property
    def average(self) -> float:
        """Mean over the stems that have a value; NaN if none has."""
        return _aggregate(list(self.stems.values()), "mean")

    @property
    def label(self) -> str:
        """What belongs beside the numbers: metric, version, unit, aggregation, data."""
        how = self.metric.titled(self.over_frames, self.over_tracks, self.n_tracks)
        return f"{how}, data {self.data_hash[:12]}"


def measure_estimates(
    track: ReferenceTrack,
    estimates: Mapping[str, Samples],
    *,
    metrics: Sequence[str] | None = None,
    n_threads: int = 0,
) -> TrackMetrics:
    """Compare estimates of some or all stems with the truth; `n_threads` 0 takes all cores.

    Without `metrics`, by all of the registry that the track allows.

    Raises:
        UsageError: A metric is unknown or needs the mixture of a track without one, or estimates
            cannot be compared with the references.
    """
    check_signals(track.references, estimates)
    if track.mixture is not None:
        first = next(iter(track.references.values()))
        check_like(first, track.mixture, f"the mixture of {track.name!r}")
    chosen = _chosen(track, metrics)
    stems = {
        name: StemSignals(
            reference=track.references[name],
            estimate=estimate,
            mixture=track.mixture,
            sample_rate_hz=track.sample_rate_hz,
        )
        for name, estimate in estimates.items()
    }
    tasks = [(name, metric) for metric in chosen if metric.measure for name in stems]
    found: dict[str, dict[str, Any]] = {name: {} for name in stems}
    results = in_threads(lambda task: _measure(stems[task[0]], task[1]), tasks, n_threads)
    for (name, metric), result in zip(tasks, results, strict=True):
        found[name][metric.name] = result
    if any(metric.measure is None for metric in chosen):
        for name, frames in _bss_frames(track, estimates, n_threads).items():
            found[name] |= frames
    n_samples = next(iter(track.references.values())).shape[1]
    return TrackMetrics(
        name=track.name,
        duration_seconds=n_samples / track.sample_rate_hz,
        stems={name: _stem_metrics(chosen, values) for name, values in found.items()},
        data_hash=track_hash(track.references, track.mixture, track.sample_rate_hz),
    )


def summarise(
    tracks: Sequence[TrackMetrics],
    metric: str,
    *,
    over_frames: Aggregation | None = None,
    over_tracks: Aggregation | None = None,
) -> Summary:
    """Aggregate one metric over frames and tracks, as its registry says or as asked.

    Values that are not there (NaN) are left out.

    Raises:
        UsageError: There is no track, or the metric is unknown, was not measured, or has no frames.
    """
    known = metric_named(metric)
    if over_frames is not None and known.over_frames is None:
        raise UsageError(f"{metric} has one value for a track, so there are no frames to aggregate")
    names = list(dict.fromkeys(name for track in tracks for name in track.stems))
    frames_by = over_frames or known.over_frames
    tracks_by = over_tracks or known.over_tracks
    per_stem: dict[str, list[float]] = {name: [] for name in names}
    for track in tracks:
        for name, stem in track.stems.items():
            if metric not in stem.values:
                raise UsageError(
                    f"{metric} was not measured of {track.name!r}; "
                    f"measured were {', '.join(stem.values)}"
                )
            value = stem.values[metric]
            if frames_by is not None:
                value = _aggregate(stem.frames[metric], frames_by)
            per_stem[name].append(value)
    return Summary(
        metric=known,
        over_frames=frames_by,
        over_tracks=tracks_by,
        n_tracks=len(tracks),
        data_hash=data_hash({track.name: track.data_hash for track in tracks}),
        stems={name: _aggregate(values, tracks_by) for name, values in per_stem.items()},
    )


def _chosen(track: ReferenceTrack, names: Sequence[str] | None) -> list[Metric]:
    lacks_mixture = track.mixture is None
    if names is None:
        return [each for each in METRICS.values() if not (each.needs_mixture and lacks_mixture)]
    chosen = [metric_named(name) for name in names]
    for metric in chosen:
        if metric.needs_mixture and lacks_mixture:
            raise UsageError(
                f"{metric.name} needs the mixture, which {track.name!r} does not have; "
                "give it, or leave the metric out"
            )
    return chosen


def _measure(stem: StemSignals, metric: Metric) -> float | np.ndarray:
    assert metric.measure is not None
    return metric.measure(stem)


def _bss_frames(
    track: ReferenceTrack, estimates: Mapping[str, Samples], n_threads: int
) -> dict[str, dict[str, np.ndarray]]:
    references = {name: rounded_to_16_bits(signal) for name, signal in track.references.items()}
    frame_samples = round(FRAME_SECONDS * track.sample_rate_hz)
    found = bss_eval(references, estimates, frame_samples=frame_samples, n_threads=n_threads)
    return {
        name: {
            "bss-sdr": frames.sdr_db,
            "bss-isr": frames.isr_db,
            "bss-sir": frames.sir_db,
            "bss-sar": frames.sar_db,
        }
        for name, frames in found.items()
    }


def _stem_metrics(chosen: Sequence[Metric], found: Mapping[str, Any]) -> StemMetrics:
    values, frames = {}, {}
    for metric in chosen:
        result = found[metric.name]
        if metric.over_frames is not None:
            frames[metric.name] = result
            result = _aggregate(result, metric.over_frames)
        values[metric.name] = float(result)
    return StemMetrics(values=values, frames=frames)


def _aggregate(values: Sequence[float] | np.ndarray, how: Aggregation) -> float:
    present = np.array(values, np.float64)
    present = present[~np.isnan(present)]
    if not len(present):
        return math.nan
    if how == "median":
        return float(np.median(present))
    return float(np.mean(np.abs(present) if how == "mean of absolutes" else present))
